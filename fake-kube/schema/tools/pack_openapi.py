#!/usr/bin/env python3
"""Packs the OpenAPI v3 documents of the built-in groups, descriptions included, into data/openapi.pack.

    pack_openapi.py RECORDED KUBERNETES > data/openapi.pack

RECORDED is the folder with the documents a 1.35.3 server answered without descriptions; KUBERNETES the source tree of
the same version (module k8s.io/kubernetes), Apache License 2.0, from whose `api/openapi-spec` and generated definitions
the descriptions come. A schema or path that differs from the recording in anything but descriptions stops the packing.

Layout: one line of JSON `{"sections": {name: [offset, packed, unpacked]}, "hashes": {document: hash in the index}}`, then
the sections, each raw deflate. Section `schemas` has lines `name TAB json`; `api/v1` and its like the first line
`["names", "of", "its schemas"]` and the second line the paths; `crd` the parameters of the operations of custom resources.
"""
import json, os, re, sys, zlib

recorded, source = sys.argv[1:]
spec = os.path.join(source, "api/openapi-spec/v3")
dumps = lambda v: json.dumps(v, separators=(",", ":"), ensure_ascii=False)


def without(v, drop):
    if isinstance(v, dict):
        return {k: without(x, drop) for k, x in v.items() if not drop(k, x)}
    if isinstance(v, list):
        return [without(x, drop) for x in v]
    return v


is_description = lambda k, x: k == "description" and isinstance(x, str)
is_cbor = lambda k, x: "/" in k and k.endswith(("cbor", "cbor-seq"))  # alpha, off in the recorded server

# Fields of an enumerated type say in their description which values there are; the checked-in documents lack both.
generated = open(os.path.join(source, "pkg/generated/openapi/zz_generated.openapi.go")).read()
enums = {}
for text in re.findall(r'Description: ("(?:[^"\\]|\\.)*Possible enum values(?:[^"\\]|\\.)*")', generated):
    text = json.loads(text)
    base, _, values = text.partition("\n\nPossible enum values:\n")
    names = tuple(re.findall(r'^ - `"([^`]*)"`', values, re.M))
    enums[(base, names)] = text
missing = []


def add_enums(want, have, at):
    """Copies `enum` from the recorded schema and the longer description that goes with it."""
    if isinstance(want, dict) and isinstance(have, dict):
        if isinstance(want.get("enum"), list):
            have["enum"] = want["enum"]
            key = (have.get("description", ""), tuple(want["enum"]))
            if key in enums:
                have["description"] = enums[key]
            else:
                missing.append(at)
        for k in want:
            if k in have:
                add_enums(want[k], have[k], f"{at}.{k}")


index = json.load(open(os.path.join(recorded, "openapi-v3-index.json")))
index = index.get("paths", index)
hashes = {name: entry["serverRelativeURL"].split("hash=")[1] for name, entry in index.items()}
schemas, sections, apps = {}, {}, None
for name in sorted(index):
    file = name.replace("/", "__")
    path = os.path.join(spec, file + "_openapi.json")
    if not os.path.exists(path):
        print("not in the source:", name, file=sys.stderr)
        continue
    document = json.load(open(path))
    if name == "apis/apps/v1":
        apps = document["paths"]
    paths = without(document["paths"], is_cbor)
    own = document["components"].get("schemas", {})
    known = os.path.join(recorded, file + ".json")
    if os.path.exists(known):
        known = json.load(open(known))
        add_enums(known["components"]["schemas"], own, name)
        if without(own, is_description) != without(known["components"]["schemas"], is_description):
            sys.exit(f"schemas of {name} differ from the recording")
        if without(paths, is_description) != without(known["paths"], is_description):
            sys.exit(f"paths of {name} differ from the recording")
    for k, v in own.items():
        if k in schemas and schemas[k] != v and "enum" not in dumps(v):
            # Documents that were not recorded know no enumerations: the recorded form stays.
            if without(schemas[k], lambda k, x: k in ("enum", "description")) != without(v, lambda k, x: k in ("enum", "description")):
                sys.exit(f"schema {k} differs between documents")
            continue
        schemas[k] = v
    sections[name] = dumps(sorted(own)) + "\n" + dumps(paths)
print("enumerations without a description of their values:", missing, file=sys.stderr)

many = apps["/apis/apps/v1/namespaces/{namespace}/deployments"]
one = apps["/apis/apps/v1/namespaces/{namespace}/deployments/{name}"]
listed = many["get"]["parameters"]
crd = {
    "list": listed,
    "deletecollection": listed,
    "post": many["post"]["parameters"],
    "get": [p for p in listed if p["name"] == "resourceVersion"],
    "put": one["put"]["parameters"],
    "patch": one["patch"]["parameters"],
    "delete": one["delete"]["parameters"],
    "path": one["parameters"],
}
sections["crd"] = dumps(crd)
sections["schemas"] = "".join(f"{k}\t{dumps(v)}\n" for k, v in sorted(schemas.items()))

packed, places, at = [], {}, 0
for name in sorted(sections):
    text = sections[name].encode()
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    data = deflate.compress(text) + deflate.flush()
    places[name] = [at, len(data), len(text)]
    packed.append(data)
    at += len(data)
head = dumps({"sections": places, "hashes": hashes}).encode() + b"\n"
sys.stdout.buffer.write(head + b"".join(packed))
