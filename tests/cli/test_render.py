"""`holdfast render` writes all files or none, and says what it wrote."""

from tests.cli.conftest import Cli


def test_it_writes_what_differs(cli: Cli) -> None:
    """The second time nothing does."""
    first = cli.quick("render", "shop", "--only", "observability", "--to", "deploy", "--json")
    again = cli.quick("render", "shop", "--only", "observability", "--to", "deploy")

    found = sorted(
        path.relative_to(cli.folder / "deploy").as_posix()
        for path in (cli.folder / "deploy").rglob("*")
        if path.is_file()
    )
    assert (first.code, first.err) == (0, "")
    assert first.json() == {"files": found, "written": found, "undeclared": []}
    assert again.out == f"0 of {len(found)} files written to deploy\n"
    page = (cli.folder / "deploy/observability/runbooks/SagasParked.md").read_text()
    assert "$ holdfast sagas list shop --state parked" in page


def test_what_is_declared_no_more_is_named(cli: Cli) -> None:
    """It stays: whoever renders decides whether it goes."""
    cli.quick("render", "shop", "--to", "deploy")
    old = cli.folder / "deploy/observability/grafana/old.json"
    old.write_text((old.parent / "holdfast_shop.json").read_text())

    said = cli.quick("render", "shop", "--to", "deploy")

    assert "deploy/observability/grafana/old.json is not declared any more" in said.out
    assert old.exists()


def test_somebodys_own_file_is_one_line(cli: Cli) -> None:
    """And nothing is written."""
    mine = cli.folder / "deploy/observability/prometheus/prometheus.yml"
    mine.parent.mkdir(parents=True)
    mine.write_text("mine\n")

    refused = cli.quick("render", "shop", "--to", "deploy")

    assert (refused.code, refused.out) == (1, "")
    assert refused.err.count("\n") == 1
    assert "prometheus.yml is none that was rendered; move it away" in refused.err
    assert [path for path in (cli.folder / "deploy").rglob("*") if path.is_file()] == [mine]


def test_a_wrong_declaration_is_refused_before_anything_is_written(cli: Cli) -> None:
    """With its report, as by `check`."""
    (cli.folder / "wrong.py").write_text(
        "from holdfast import Service, Slo, System\n"
        "wrong = System('wrong', [Service('one', slo=Slo(availability=99.9))], slo=Slo(share=2))\n"
    )

    rendered = cli.quick("render", "wrong", "--to", "deploy")
    checked = cli.quick("check", "wrong")

    assert (rendered.code, checked.code) == (1, 1)
    assert rendered.err.replace("holdfast: ", "") == checked.out
    assert [line.split(": ")[0] for line in checked.out.splitlines()] == [
        "System(slo=…)",
        "Service('one', slo=…)",
    ]
    assert not (cli.folder / "deploy").exists()


def test_a_part_that_there_is_not_is_refused(cli: Cli) -> None:
    """As any word that does not fit."""
    assert cli.quick("render", "shop", "--only", "kitchen", "--to", "deploy").code == 2
    assert cli.quick("render", "shop").code == 2


def test_check_says_what_is_not_as_declared_and_writes_nothing(cli: Cli) -> None:
    """A changed file, one that is gone, and one that is declared no more."""
    whole = cli.quick("render", "shop", "--only", "kubernetes", "--to", "deploy")
    folder = cli.folder / "deploy/kubernetes/production"
    well = cli.quick("render", "shop", "--only", "kubernetes", "--to", "deploy", "--check")
    (folder / "orders.yaml").write_text((folder / "orders.yaml").read_text() + "# mine\n")
    (folder / "nats.yaml").rename(folder / "old.yaml")

    refused = cli.quick("render", "shop", "--only", "kubernetes", "--to", "deploy", "--check")

    assert (whole.code, well.code, refused.code) == (0, 0, 1)
    assert well.out.endswith("files are as the declaration says\n")
    told = [
        line.removeprefix("holdfast: deploy/kubernetes/production/")
        for line in refused.err.splitlines()
    ]
    assert told == [
        "nats.yaml: No such file or directory",
        "orders.yaml is not what the declaration says",
        "old.yaml is not declared any more; delete it",
        "holdfast: write them anew with `holdfast render shop --to deploy`; into a file that is "
        "kept, put the edge yourself",
    ]
    assert (folder / "orders.yaml").read_text().endswith("# mine\n")


def test_a_lock_that_names_no_digest_is_refused(cli: Cli) -> None:
    """By its line; a digest that is known is everywhere where the image is."""
    cli.quick("render", "shop", "--to", "deploy")
    lock = cli.folder / "deploy/images.lock"
    text, digest = lock.read_text(), f"sha256:{'a' * 64}"
    lock.write_text(text.replace('staging = "unresolved"', f'staging = "{digest}"'))
    cli.quick("render", "shop", "--to", "deploy")
    staged = (cli.folder / "deploy/kubernetes/staging/orders.yaml").read_text()
    kept = lock.read_text()
    lock.write_text(text.replace('staging = "unresolved"', 'staging = "latest"'))

    refused = cli.quick("render", "shop", "--to", "deploy")

    assert f'/shop@{digest}"' in staged
    assert f'staging = "{digest}"' in kept
    assert (refused.code, refused.out) == (1, "")
    assert "images.lock: staging = 'latest': write sha256:<64 hex digits>" in refused.err


def test_what_it_costs_is_a_table_and_nothing_is_written(cli: Cli) -> None:
    """Or JSON; a folder need not be named."""
    (cli.folder / "prices.toml").write_text(
        'currency = "EUR"\ncpu_hour = 0.04\ngib_hour = 0.005\nstorage_gib_month = 0.1\n'
        "egress_gib = 0.09\n[databases]\nsmall = 30\nlarge = 400\n"
    )

    table = cli.quick("render", "shop", "--cost", "prices.toml")
    found = cli.quick("render", "shop", "--cost", "prices.toml", "--json").json()

    assert (table.code, table.err) == (0, "")
    assert table.rows[0] == ["staging", "gateway", "1 … 1 … 2", "8.21 … 8.21 … 16.43"]
    last = found["month"][-1]
    assert (found["currency"], last["environment"], last["what"]) == ("EUR", "production", "total")
    assert table.rows[-1][3].split(" … ")[0] == f"{last['month']['least']:.2f}"
    assert [path.name for path in cli.folder.iterdir()] == ["prices.toml"]


def test_whoever_trusts_no_proxy_is_told_so_where_there_are_some(cli: Cli) -> None:
    """On a cluster alone; the folder is rendered all the same."""
    (cli.folder / "shy.py").write_text(
        "from holdfast import Service, System\nshy = System('shy', [Service('one')])\n"
    )

    on_clusters = cli.quick("render", "shy", "--only", "kubernetes", "--to", "deploy")
    rules = cli.quick("render", "shy", "--only", "observability", "--to", "deploy")

    assert (on_clusters.code, rules.code, rules.err) == (0, 0, "")
    assert "name their networks in Gateway(trusted_proxies=…)" in on_clusters.err
    assert on_clusters.err.count("\n") == 1
