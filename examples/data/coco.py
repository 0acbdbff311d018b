"""Annotations in COCO's form and their images as a folder that `yard data add` takes.

    python examples/data/coco.py instances_train.json images/train boxes/train
    python examples/data/coco.py instances_val.json images/val boxes/validation
    yard data add boxes boxes

Links (or copies, over file systems) the images and writes a metadata.jsonl: rows of {"file_name": ..., "objects":
{"bbox": [[x, y, width, height], ...], "categories": [name, ...]}}. Crowds (`iscrowd`) and boxes without area are
left out; images without boxes stay. The form: https://cocodataset.org/#format-data, section 1.
"""

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any


def rows(annotations: dict[str, Any]) -> list[dict[str, Any]]:
    """The lines of metadata.jsonl, in the images' order. Raises KeyError for what is not of COCO's form."""
    names = {category["id"]: category["name"] for category in annotations["categories"]}
    objects: dict[Any, dict[str, list[Any]]] = {
        image["id"]: {"bbox": [], "categories": []} for image in annotations["images"]
    }
    for one in annotations["annotations"]:
        if one.get("iscrowd") or min(one["bbox"][2:]) <= 0:
            continue
        objects[one["image_id"]]["bbox"].append(one["bbox"])
        objects[one["image_id"]]["categories"].append(names[one["category_id"]])
    return [
        {"file_name": image["file_name"], "objects": objects[image["id"]]} for image in annotations["images"]
    ]


def put(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def main(annotations: str, images: str, out: str) -> None:
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    found = rows(json.loads(Path(annotations).read_text("utf-8")))
    for row in found:
        put(Path(images) / row["file_name"], folder / row["file_name"])
    (folder / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in found), "utf-8")
    print(f"{len(found):,} images, {sum(len(row['objects']['bbox']) for row in found):,} boxes")


if __name__ == "__main__":
    main(*sys.argv[1:])
