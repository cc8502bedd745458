//! Checks over the repository itself: dependency rules, vocabulary, gates.
