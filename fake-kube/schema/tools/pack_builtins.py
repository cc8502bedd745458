#!/usr/bin/env python3
"""Packs the recorded OpenAPI v3 documents of a Kubernetes 1.35.3 server into the data files of this crate.

usage: pack_builtins.py REFERENCE_DIR   (the folder holding openapi-1.35.3/ and proto-fields.json)

data/schemas.tsv     one schema per line, `name<TAB>json`, sorted: parsed line by line, only when asked for
data/discovery.json  both aggregated discovery documents' groups, core first
"""
import glob
import json
import os
import sys

source = sys.argv[1]
target = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "data")


def compact(value):
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, sort_keys=True)


schemas = {}
for path in sorted(glob.glob(os.path.join(source, "openapi-1.35.3", "api*.json"))):
    document = json.load(open(path))["components"]["schemas"]
    for key, schema in document.items():
        assert schemas.setdefault(key, schema) == schema, f"{key} differs between documents"
groups = []
for name in ("api", "apis"):
    groups += json.load(open(os.path.join(source, "openapi-1.35.3", f"discovery-aggregated-{name}.json")))["items"]
with open(os.path.join(target, "schemas.tsv"), "w") as out:
    out.writelines(f"{key}\t{compact(schemas[key])}\n" for key in sorted(schemas))
open(os.path.join(target, "discovery.json"), "w").write(json.dumps(groups, separators=(",", ":")) + "\n")
