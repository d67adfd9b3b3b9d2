#!/usr/bin/env python3
"""The dashboard is one that Grafana knows: each field and value passes the types that Grafana publishes for its dashboards,
panels and Prometheus queries. And it can be imported anywhere, and each panel says what it shows."""

import enum
import json
import re
import sys
import typing

import typeguard
from grafana_foundation_sdk.cog import plugins
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard
from processes import ROOT


def main():
    plugins.register_default_plugins()
    written = json.loads((ROOT / "envoy" / "grafana" / "dashboard.json").read_text())
    dashboard = Dashboard.from_json(written)
    check_types(dashboard, "dashboard")
    # A field that the types do not have is dropped when they read it.
    check_kept(written, json.loads(JSONEncoder().encode(dashboard)), "")
    check_panels(written)
    print(f"{len(written['panels'])} panels and rows are of Grafana's types")


def check_types(model, path):
    for name, hint in typing.get_type_hints(type(model), vars(sys.modules[type(model).__module__])).items():
        value = getattr(model, name)
        for one in value if isinstance(value, list) else [value]:
            if type(one).__module__.startswith("grafana_foundation_sdk") and not isinstance(one, enum.Enum):
                check_types(one, f"{path}.{name}")
        # Read from JSON, a value of an enumeration is still its text.
        enums = [one for one in (hint, *typing.get_args(hint)) if isinstance(one, type) and issubclass(one, enum.Enum)]
        if enums and value is not None:
            value = enums[0](value)  # or an error that names both
        # typeguard knows nothing of numbers written without a fraction.
        value = float(value) if type(value) is int and float in typing.get_args(hint) else value
        try:
            typeguard.check_type(value, hint)
        except typeguard.TypeCheckError as error:
            raise SystemExit(f"{path}.{name}: {value!r}: {error}") from None


def check_kept(written, kept, path):
    if isinstance(written, dict):
        for name, value in written.items():
            assert name in kept, f"Grafana has no {path}.{name}"
            check_kept(value, kept[name], f"{path}.{name}")
    elif isinstance(written, list):
        assert len(written) == len(kept), path
        for index, pair in enumerate(zip(written, kept)):
            check_kept(*pair, f"{path}[{index}]")
    else:
        assert written == kept, f"{path}: {written!r} became {kept!r}"


def check_panels(dashboard):
    panels = dashboard["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels), "ids must be unique"
    taken = {}
    for panel in panels:
        place, title = panel["gridPos"], panel["title"]
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                other = taken.setdefault((x, y), title)
                assert other == title and x < 24, f"{title} does not fit beside {other}"
        if panel["type"] != "row":
            assert panel["description"] and panel["fieldConfig"]["defaults"]["unit"], f"{title} lacks a description or unit"
    # The data source is the reader's, whatever its name.
    uids = set(re.findall(r'"uid": "([^"]*)"', json.dumps(dashboard)))
    assert uids == {dashboard["uid"], "${datasource}"}, uids


if __name__ == "__main__":
    main()
