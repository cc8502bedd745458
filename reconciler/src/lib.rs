//! Pure decisions: what a pass needs to know, what it decides and why.
