//! Wire types and CRDs against each other, against stored texts and against the documents of Apache's operator.

mod crd;
mod documents;
mod reconciled_spec;
mod shared;
