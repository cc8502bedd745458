//! `crds:` of a scenario: files with CustomResourceDefinitions that its world serves. Their kinds become words of this
//! file, so that a harness needs to know nothing of the operators it is used for.

use std::path::Path;
use std::sync::Arc;

use serde_json::Value;

use super::load::Session;
use crate::diagnostics::Diagnostic;
use crate::vocabulary::Vocabulary;
use crate::yaml::{Kind, Node};

/// The CRDs a file names, with the vocabulary they add to; problems are reported where the file names them.
pub(super) fn declared(
    root: &Node,
    folder: &Path,
    vocabulary: &Vocabulary,
    session: &mut Session<'_>,
) -> (Arc<Vec<Value>>, Vocabulary) {
    let mut vocabulary = vocabulary.clone();
    let mut crds = Vec::new();
    let files = match root.get("crds").map(|node| &node.kind) {
        Some(Kind::List(files)) => files.as_slice(),
        // Any other form is reported with the shape of the file.
        _ => &[],
    };
    for (index, file) in files.iter().enumerate() {
        let (key, Some(path)) = (format!("crds[{index}]"), file.as_text()) else { continue };
        let Some(documents) = session.documents(&folder.join(path), Some((&file.span, key.clone()))) else {
            continue;
        };
        for document in documents.iter() {
            match kind_of(document) {
                Some(kind) => vocabulary.add_kinds([kind]),
                None => {
                    let problem =
                        Diagnostic::error("not-a-crd", &document.span, "not a CustomResourceDefinition");
                    let problem = problem.related(&file.span, "is where the file is named").at(key.clone());
                    session.problems.push(problem.help(
                        "`crds:` names files with `kind: CustomResourceDefinition`, `spec.group`, `spec.names` and `spec.versions`",
                    ));
                    continue;
                }
            }
            crds.push(document.to_json());
        }
    }
    (Arc::new(crds), vocabulary)
}

/// The kind it defines, if it is a definition with what a reference to an object needs.
fn kind_of(document: &Node) -> Option<String> {
    let crd = document.to_json();
    let text = |pointer: &str| crd.pointer(pointer).and_then(Value::as_str).filter(|text| !text.is_empty());
    text("/kind").filter(|kind| *kind == "CustomResourceDefinition")?;
    text("/spec/group")?;
    text("/spec/names/plural")?;
    text("/spec/versions/0/name")?;
    text("/spec/names/kind").map(str::to_owned)
}
