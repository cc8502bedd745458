//! Integration tests of the scenario language, one binary.

mod vocabulary;
