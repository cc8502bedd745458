//! The blueprint as a whole, against tables, the users' manifests and the documents of Apache's operator.

mod diff;
mod effective;
mod manifests;
mod objects;
mod robust;
mod shared;
mod validation;
