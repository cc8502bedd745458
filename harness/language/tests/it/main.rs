//! Integration tests of the scenario language, one binary.

mod reporters;
mod sample;
mod vocabulary;
