"""LitServe with the settings that served this load best: batching, its fast queue, no access log."""

import os

import litserve
import numpy as np
import onnxruntime


class Api(litserve.LitAPI):
    def setup(self, device):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(os.environ["BENCH_MODEL"], options)

    def decode_request(self, request):
        tensor = request["inputs"][0]
        return np.asarray(tensor["data"], np.uint8).reshape(tensor["shape"])

    def batch(self, inputs):
        return np.concatenate(inputs)

    def predict(self, image):
        return self.session.run(None, {"image": image})[0]

    def unbatch(self, output):
        return [row[None] for row in output]

    def encode_response(self, output):
        return {
            "outputs": [{"name": "probabilities", "shape": output.shape, "data": output.ravel().tolist()}]
        }


if __name__ == "__main__":
    server = litserve.LitServer(
        Api(max_batch_size=64, batch_timeout=0.002),
        accelerator="cpu",
        workers_per_device=int(os.environ["BENCH_WORKERS"]),
        timeout=60,
        fast_queue=True,
    )
    port = int(os.environ["BENCH_PORT"])
    server.run(
        port=port, num_api_servers=1, generate_client_file=False, log_level="warning", access_log=False
    )
