#!/usr/bin/env python3
"""Packs the column definitions of built-in tables from recorded cases: `group/plural` -> definitions.

usage: pack_columns.py REFERENCE_DIR   (the folder holding cases/)
"""
import glob
import json
import os
import sys

target = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "data", "columns.json")
found = {}
for path in sorted(glob.glob(os.path.join(sys.argv[1], "cases", "*.json"))):
    for case in json.load(open(path))["cases"]:
        for step in case["steps"]:
            request, body = step.get("request"), step.get("expect", {})
            if not isinstance(request, dict) or not isinstance(body, dict):
                continue
            body = body.get("body")
            if not isinstance(body, dict):
                continue
            columns = body.get("columnDefinitions") or body.get("/columnDefinitions")
            parts = request["path"].strip("/").split("/")
            group = "" if parts[0] == "api" else parts[1] if len(parts) > 1 else ""
            if not isinstance(columns, list) or "example.com" in group or "{{" in group:
                continue
            rest = parts[2 if parts[0] == "api" else 3 :]
            rest = rest[2:] if rest[:1] == ["namespaces"] and len(rest) > 2 else rest
            found[f"{group}/{rest[0]}"] = columns
rows = (f"{json.dumps(k)}:{json.dumps(found[k], separators=(',', ':'))}" for k in sorted(found))
open(target, "w").write("{\n" + ",\n".join(rows) + "\n}\n")
print(len(found), "tables:", " ".join(sorted(found)))
