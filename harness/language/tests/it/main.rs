//! Integration tests of the scenario language, one binary.

mod bad;
mod expressions;
mod failures;
mod language;
mod matching;
mod product;
mod reporters;
mod sample;
mod vocabulary;
