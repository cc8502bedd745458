//! The scenario language: strict parsing, error positions, matching, expressions, reports.
