"""What the pages say is what the code does."""

import re
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import pytest
import typer

from policy_server.api.routes import ROUTES
from policy_server.builtins.registry import Registry
from policy_server.cli.app import app
from policy_server.environment import ALIASES
from policy_server.given import variable
from policy_server.settings import declared

ROOT = Path(__file__).parents[2]
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]


def read(name: str) -> str:
    """Return the text of a page."""
    return (ROOT / name).read_text(encoding="utf-8")


def commands() -> Iterator[str]:
    """Yield every command, with its family."""
    for command in app.registered_commands:
        yield str(command.name)
    for group in app.registered_groups:
        assert isinstance(group.typer_instance, typer.Typer)
        for command in group.typer_instance.registered_commands:
            assert command.callback is not None
            yield f"{group.name} {command.name or command.callback.__name__}"


def pins(name: str) -> dict[str, str]:
    """Return the packages and versions of a pins file."""
    return dict(re.findall(r"(?m)^([\w.-]+)==(\S+)", read(f"scripts/{name}")))


def test_generated_pages_are_what_the_code_says() -> None:
    """docs/settings.md and docs/cli.md are made by scripts/docs.py."""
    done = subprocess.run(
        [sys.executable, "scripts/docs.py", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stdout) == (0, ""), "run scripts/docs.py"


def test_every_setting_has_its_line() -> None:
    """The reference lists all settings and the variables of the policy service."""
    page = read("docs/settings.md")

    assert [name for name, _ in declared() if f"| `{name}` | `{variable(name)}`" not in page] == []
    assert [alias for alias in ALIASES if f"`{alias}`" not in page] == []


@pytest.mark.parametrize(
    "page",
    ["README.md", "docs/operations.md", "docs/policies.md", "docs/functions.md", "docs/http.md", "docs/decisions.md"],
)
def test_pages_name_only_settings_that_exist(page: str) -> None:
    """Every POLICY_ name in a text is a setting."""
    known = {variable(name) for name, _ in declared()} | {"POLICY_CONFIG_FILE"}

    named = set(re.findall(r"`(POLICY_[A-Z0-9_]+)(?:=[^`]*)?`", read(page)))

    assert named - known == set()


def test_the_readme_names_every_command() -> None:
    """Families in the first column, their members in the second."""
    table = read("README.md").partition("## Commands")[2].partition("## ")[0]

    missing = [command for command in commands() if not all(f"`{word}`" in table for word in command.split())]

    assert missing == []


def test_the_readme_names_no_command_twice() -> None:
    """A merge of two changes may keep both rows."""
    table = read("README.md").partition("## Commands")[2].partition("## ")[0]
    named = [word for cell in re.findall(r"(?m)^\| ([^|]+) \|", table) for word in re.findall(r"`(\w+)`", cell)]

    assert "policies" in named
    assert [word for word in named if named.count(word) > 1] == []


def test_every_heading_has_air_and_stands_once() -> None:
    """A blank line before each heading, and no heading twice in one page."""
    for page in PAGES:
        text = re.sub(r"(?ms)^```.*?^```", "", page.read_text(encoding="utf-8"))
        headings = re.findall(r"(?m)^#{1,2} .+$", text)

        assert re.findall(r"[^\n]\n(#{1,6} .+)", text) == [], page
        assert [each for each in headings if headings.count(each) > 1] == [], page


def test_every_route_is_documented() -> None:
    """docs/http.md lists method and path of each."""
    page = read("docs/http.md")

    assert [route.path for route in ROUTES if f"`{route.method} {_shown(route.path)}`" not in page] == []


def _shown(path: str) -> str:
    return re.sub(r"\{(\w+):\w+\}", r"{\1}", path)


def test_every_function_is_documented() -> None:
    """docs/functions.md has a line for each that OPA does not have."""
    table = read("docs/functions.md").partition("## The functions")[2].partition("## Neighbours")[0]
    rows = {name for row in re.findall(r"(?m)^\| ([^|]+) \|", table) for name in re.findall(r"`([^`]+)`", row)}

    assert rows == {each["name"] for each in Registry.discover().declarations()}


def test_the_example_of_a_package_is_one_that_works() -> None:
    """What docs/functions.md shows is in the package that the tests load."""
    shown = re.search(r"```python\n(.*?)\n\nFUNCTIONS", read("docs/functions.md"), flags=re.S)
    assert shown is not None

    assert shown[1].strip() in read("tests/unit/builtins/acme_plugin/acme_functions.py")


def test_every_dependency_is_described() -> None:
    """docs/dependencies.md has a line for each package that pyproject.toml asks for."""
    project = tomllib.loads(read("pyproject.toml"))["project"]
    wanted = [*project["dependencies"], *chain.from_iterable(project["optional-dependencies"].values())]
    page = read("docs/dependencies.md")

    names = [re.split(r"[<>=\[]", requirement)[0] for requirement in wanted]

    assert [name for name in names if not re.search(rf"(?<![\w-]){name}(?![\w-])", page)] == []


def test_pins_agree_with_each_other() -> None:
    """The image runs what was tested."""
    tested = pins("pins.txt")

    assert pins("pins-run.txt").items() <= tested.items()
    assert pins("pins-build.txt").items() <= tested.items()


@pytest.mark.parametrize("path", [path.name for path in ROOT.glob("scripts/pins*.txt")])
def test_pins_have_hashes_and_no_address(path: str) -> None:
    """Every package is pinned by digest, and no index is named."""
    text = read(f"scripts/{path}")

    assert text.count("==") == len(re.findall(r"(?m)^[\w.-]+==\S+ \\\n    --hash=sha256:", text))
    assert "://" not in text
    assert not re.search(r"(?m)^--?(index|extra-index|find-links|i\b|f\b)", text)


def test_the_opa_that_is_named_is_the_opa_inside() -> None:
    """Pages and notices name the version of go.mod."""
    found = re.search(r"open-policy-agent/opa v(\S+)", read("policy_server/toolkit/go/go.mod"))
    assert found is not None

    assert f"Open Policy Agent {found[1]}" in read("docs/dependencies.md")
    assert f"github.com/open-policy-agent/opa v{found[1]}" in read("THIRD-PARTY-NOTICES.md")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    """Every relative link of a page names a file that is there."""
    links = re.findall(
        r"\]\(([^)#]+)(?:#[^)]*)?\)", re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.S)
    )

    assert [link for link in links if "://" not in link and not (page.parent / link).exists()] == []


def without_code(page: Path) -> str:
    """Return the text of a page without its examples."""
    return re.sub(r"(?ms)^ *```.*?^ *```", "", page.read_text(encoding="utf-8"))


def links(page: Path) -> Iterator[tuple[Path, str]]:
    """Yield where the relative links of a page lead: file and heading."""
    for path, _, anchor in re.findall(r"\]\((?!\w+:)([^)#]*)(#([^)]*))?\)", without_code(page)):
        yield ((page.parent / path).resolve() if path else page), anchor


def anchors(page: Path) -> set[str]:
    """Return the names of the headings of a page, as GitHub makes them."""
    titles = re.findall(r"(?m)^#+ (.+)$", without_code(page))
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_headings_that_are_there(page: Path) -> None:
    """A heading that was renamed takes its links along."""
    named = [(path, anchor) for path, anchor in links(page) if anchor and path.suffix == ".md"]

    assert [(path.name, anchor) for path, anchor in named if anchor not in anchors(path)] == []


def test_every_page_can_be_reached_from_the_readme() -> None:
    """Whoever reads on finds them all; a link to a directory means all that is in it."""
    reached, ahead = {ROOT / "README.md"}, [ROOT / "README.md"]
    while ahead:
        for path, _ in links(ahead.pop()):
            for each in path.glob("*.md") if path.is_dir() else [path]:
                if each.suffix == ".md" and each not in reached:
                    reached.add(each)
                    ahead.append(each)

    assert sorted(page.name for page in PAGES if page not in reached) == []


def test_every_room_is_described() -> None:
    """docs/architecture.md lists each directory and module of the package once."""
    table = read("docs/architecture.md").partition("## Rooms")[2].partition("## ")[0]
    listed = Counter(
        name for cell in re.findall(r"(?m)^\| (`[^|]+) \|", table) for name in re.findall(r"`(.+?)`", cell)
    )
    package = ROOT / "policy_server"
    rooms = [f"{path.parent.name}/" for path in package.glob("*/__init__.py")]
    modules = [path.name for path in package.glob("*.py") if path.name != "__init__.py"]

    assert listed == Counter([*rooms, *modules])


def test_decisions_are_numbered_one_after_the_other() -> None:
    """The heading has the number of the file."""
    pages = sorted((ROOT / "docs/adr").glob("*.md"))

    assert [int(page.name[:4]) for page in pages] == list(range(1, len(pages) + 1))
    assert [page.read_text(encoding="utf-8").partition(":")[0] for page in pages] == [
        f"# ADR {number}" for number in range(1, len(pages) + 1)
    ]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_nothing_stands_twice_in_a_page(page: Path) -> None:
    """Merging keeps both sides of a change: sentences and rows that begin alike are one that was edited."""
    for section in re.split(r"(?m)^#+ ", without_code(page)):
        rows = [row for table in re.findall(r"(?m)(?:^\|.*\n)+", section) for row in doubled_rows(table)]
        lines = Counter(line[:40] for line in re.findall(r"(?m)^(?!\|).{60,}", section))

        assert rows + [line for line, times in lines.items() if times > 1] == []


def doubled_rows(table: str) -> list[str]:
    """Return what stands first in two rows of a table, unless all rows begin with a number."""
    firsts = Counter(re.findall(r"(?m)^\| ([^|]+?) \|", table))
    return [first for first, times in firsts.items() if times > 1 and not re.match(r"[\d-]", first)]
