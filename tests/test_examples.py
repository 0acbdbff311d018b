"""The recipes under examples/ are recipes."""

from pathlib import Path

import pytest

from modelyard.training.finetune_recipe import is_finetune, parse_finetune
from modelyard.training.recipe import parse_recipe
from modelyard.training.recipe_text import read_yaml

ROOT = Path(__file__).parent.parent
ALL = sorted((ROOT / "examples" / "recipes").glob("*.yaml"))
FINETUNED = [path for path in ALL if is_finetune(read_yaml(path.read_text()))]
RECIPES = [path for path in ALL if path not in FINETUNED]


@pytest.mark.parametrize("path", RECIPES, ids=lambda p: p.stem)
def test_a_recipe_is_read_and_says_how_to_run_it(path: Path) -> None:
    text = path.read_text()
    recipe = parse_recipe(text)
    first = text.partition("\n")[0]
    assert first.startswith(f"# yard data add {recipe.data} ")
    assert first.endswith(f" && yard train examples/recipes/{path.name}")


@pytest.mark.parametrize("path", FINETUNED, ids=lambda p: p.stem)
def test_a_recipe_of_fine_tuning_is_read_and_says_how_to_run_it(path: Path) -> None:
    text = path.read_text()
    recipe = parse_finetune(text)
    first = text.partition("\n")[0]
    assert first.startswith(f"# yard data add {recipe.data} ")
    assert first.endswith(f" && yard train examples/recipes/{path.name}")


def test_the_page_of_fine_tuning_names_every_key() -> None:
    import msgspec

    from modelyard.tasks.text_generation import GenerationOptions
    from modelyard.training import early_stop, finetune_recipe, schedules

    page = (ROOT / "docs" / "fine-tuning.md").read_text()
    structs = [
        finetune_recipe.FinetuneRecipe,
        finetune_recipe.FinetuneTraining,
        finetune_recipe.FinetuneEvaluation,
        GenerationOptions,
        early_stop.EarlyStopping,
        schedules.Cosine,
    ]
    keys = {field.name for struct in structs for field in msgspec.structs.fields(struct)}
    assert FINETUNED
    assert {key for key in keys if f"`{key}`" not in page} == set()


def test_the_page_of_training_names_every_key() -> None:
    import msgspec

    from modelyard.training import augment, early_stop, pruning, recipe, schedules

    page = (ROOT / "docs" / "training.md").read_text()
    structs: list[type[msgspec.Struct]] = [recipe.GradientTraining, early_stop.EarlyStopping, pruning.Pruning]
    structs += [schedules.Constant, schedules.Step, schedules.Cosine, schedules.Plateau, *augment.KINDS]
    keys = {field.name for struct in structs for field in msgspec.structs.fields(struct)}
    names = {struct.__struct_config__.tag for struct in structs} - {None}
    assert {key for key in keys | names if f"`{key}`" not in page} == set()


def test_there_is_one_for_each_task() -> None:
    from modelyard import tasks

    trained = {name for name in tasks.TASKS if tasks.load(name).default_net}
    assert {parse_recipe(path.read_text()).task for path in RECIPES} == trained


def test_the_page_of_recipes_names_every_key() -> None:
    import msgspec

    from modelyard import nets, tasks
    from modelyard.training import recipe

    page = (ROOT / "docs" / "recipes.md").read_text()
    structs: list[type[msgspec.Struct]] = [recipe.Recipe, recipe.Evaluation]
    trained = [name for name in tasks.TASKS if tasks.load(name).default_net]
    structs += [tasks.load(name).options for name in trained]
    structs += [nets.load(name).config for name in nets.NETS]
    keys = {f.name for struct in structs for f in msgspec.structs.fields(struct)}
    assert {key for key in {*keys, *nets.NETS, *trained} if f"`{key}`" not in page} == set()
