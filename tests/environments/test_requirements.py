"""Requirements files: what is taken, what is refused, and that a digest says what an environment is made of."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from modelyard.environments import check, digest
from modelyard.environments.requirements import lines
from modelyard.errors import InvalidInput, ModelyardError, TooLarge

HASH = "a" * 64


def test_what_a_file_may_say():
    text = f"""
    # a comment
    Tabulate == 0.9   # another
    numpy>=2,<3
    requests[socks,security]
    tomli ; python_version < "3.12"
    packaging==24.0 --hash=sha256:{HASH} \\
        --hash=sha512:{"b" * 128}
    scikit_learn
    tabulate==0.9
    """
    assert lines(text) == (
        "numpy<3,>=2",
        f"packaging==24.0 --hash=sha256:{HASH} --hash=sha512:{'b' * 128}",
        "requests[security,socks]",
        "scikit-learn",
        "tabulate==0.9",
        'tomli ; python_version < "3.12"',
    )


def test_order_comments_and_spelling_make_no_other_environment():
    first, second = "A==1\nb_c>=2,<3", "# x\n\nb-C <3, >=2\r\na == 1\n"
    assert digest(first) == digest(second)
    assert digest(first) != digest("a==1")
    assert len(digest("")) == 64


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("-r other.txt", "is an option"),
        ("-e .", "is an option"),
        ("--index-url https://example.org/simple", "is an option"),
        ("--find-links=/tmp", "is an option"),
        ("-c constraints.txt", "is an option"),
        ("requests --global-option=x", "is not a requirement"),
        ("requests --config-settings=x=y", "is not a requirement"),
        ("requests --hash=md5:aaaa", "is not a requirement"),
        ("https://example.org/x.whl", "is not a requirement"),
        ("x @ https://example.org/x.whl", "names an address"),
        ("x @ file:///etc/passwd", "names an address"),
        ("git+https://example.org/x.git", "is not a requirement"),
        ("x @ git+ssh://example.org/x.git@main", "names an address"),
        ("./package", "is not a requirement"),
        ("/home/someone/package.whl", "is not a requirement"),
        ("../x", "is not a requirement"),
        ("x.whl/../../y", "is not a requirement"),
        ("$(touch x)", "is not a requirement"),
        ("${HOME}", "is not a requirement"),
        ("x==1; import os", "is not a requirement"),
        ("x\x00y", "is not plain text"),
        ("modelyard==0.1", "names the platform itself"),
        ("ModelYard", "names the platform itself"),
    ],
)
def test_what_reaches_elsewhere_is_refused(line, why):
    with pytest.raises(InvalidInput, match=f"line 2 of the requirements {why}") as caught:
        check(f"numpy\n{line}\n")
    assert caught.value.allowed is not None


def test_the_line_is_counted_where_it_begins():
    with pytest.raises(InvalidInput, match="line 3 "):
        check("numpy \\\n  >=2\n-r \\\n  x.txt\n")


def test_too_many():
    check("\n".join(f"p{n}" for n in range(200)))
    with pytest.raises(TooLarge, match="too many requirements; came: 201; allowed: 200"):
        check("\n".join(f"p{n}" for n in range(201)))
    with pytest.raises(TooLarge, match="too long"):
        check("x" * 100_000)


NAMES = st.from_regex(r"[A-Za-z][A-Za-z0-9]{0,8}([-_.][A-Za-z0-9]{1,4})?", fullmatch=True).filter(
    lambda name: name.lower().replace("_", "-").replace(".", "-") != "modelyard"
)
VERSIONS = st.from_regex(r"(==|>=|<|~=|!=)[1-9]{1,2}\.[0-9]{1,2}", fullmatch=True)
REQUIREMENTS = st.builds(
    lambda name, versions, hashed: f"{name}{','.join(versions)}" + (f" --hash=sha256:{HASH}" if hashed else ""),
    NAMES, st.lists(VERSIONS, max_size=3), st.booleans(),
)  # fmt: skip


@given(st.lists(REQUIREMENTS, max_size=12), st.randoms())
def test_a_normal_form_is_its_own(requirements, random):
    found = lines("\n".join(requirements))
    assert lines("\n".join(found)) == found
    random.shuffle(requirements)
    assert lines("  # x\n\n".join([*requirements, ""])) == found
    assert digest("\n".join(found)) == digest("\n".join(requirements))


@given(st.text(max_size=200))
@example("\\")
@example("#\\\n-e .")
@example("a;\x85-e .")
def test_any_text_is_taken_or_refused(text):
    """What pip would read is only what was understood: no line of the normal form begins with a dash."""
    try:
        found = lines(text)
    except ModelyardError:
        return
    for line in found:
        assert not line.startswith("-")
        assert line.splitlines() == [line]
        assert "://" not in line
