//! Integration tests of the scenario language, one binary.

mod bad;
mod expressions;
mod language;
mod matching;
mod product;
mod reporters;
mod sample;
mod vocabulary;
