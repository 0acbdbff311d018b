"""FastAPI and ONNX Runtime, as its documentation would write it: a typed body, one session a worker."""

import os

import numpy as np
import onnxruntime
from fastapi import FastAPI
from pydantic import BaseModel

options = onnxruntime.SessionOptions()
options.intra_op_num_threads = options.inter_op_num_threads = 1
session = onnxruntime.InferenceSession(os.environ["BENCH_MODEL"], options)
app = FastAPI()


class Tensor(BaseModel):
    name: str
    shape: list[int]
    datatype: str
    data: list[int]


class Inputs(BaseModel):
    inputs: list[Tensor]


class Output(BaseModel):
    name: str
    shape: list[int]
    data: list[float]


class Outputs(BaseModel):
    outputs: list[Output]


@app.post("/predict")
async def predict(body: Inputs) -> Outputs:
    tensor = body.inputs[0]
    image = np.asarray(tensor.data, np.uint8).reshape(tensor.shape)
    found = session.run(None, {"image": image})[0]
    output = Output(name="probabilities", shape=list(found.shape), data=found.ravel().tolist())
    return Outputs(outputs=[output])
