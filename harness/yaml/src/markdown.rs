//! Text of others inside Markdown, for the summary pages of forges. Leaves out: what a summary says.

/// A block of text as it is; its fence is longer than any run of backticks inside.
pub fn fenced(text: &str) -> String {
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest.max(2) + 1);
    format!("{fence}text\n{}\n{fence}\n\n", text.trim_end())
}

/// Text within a line or a cell of a table, without a meaning of its own.
pub fn escape(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '|' | '*' | '_' | '`' | '[' | ']' | '\\' => out.extend(['\\', c]),
            '\n' => out.push(' '),
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_inside_ends_the_block_or_the_cell() {
        assert_eq!(fenced("a\n```\nb\n"), "````text\na\n```\nb\n````\n\n");
        assert_eq!(fenced("plain"), "```text\nplain\n```\n\n");
        assert_eq!(escape("a|b <c>\nd_e"), "a\\|b &lt;c&gt; d\\_e");
    }
}
