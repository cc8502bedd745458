//! Colour on terminals and nowhere else. Rendering functions take a `Paint`; the caller decides once, by `Paint::auto`.

/// Whether escape sequences may be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Paint {
    #[default]
    Plain,
    Colour,
}

impl Paint {
    /// Colour when the stream is a terminal, `NO_COLOR` is not set (https://no-color.org) and `TERM` is not `dumb`.
    pub fn auto(is_terminal: bool) -> Paint {
        let refused = std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty())
            || std::env::var_os("TERM").is_some_and(|v| v == "dumb");
        if is_terminal && !refused { Paint::Colour } else { Paint::Plain }
    }

    pub fn bold(self, text: &str) -> String {
        self.wrap("1", text)
    }

    pub fn dim(self, text: &str) -> String {
        self.wrap("2", text)
    }

    pub fn red(self, text: &str) -> String {
        self.wrap("1;31", text)
    }

    pub fn green(self, text: &str) -> String {
        self.wrap("32", text)
    }

    pub fn yellow(self, text: &str) -> String {
        self.wrap("33", text)
    }

    pub fn blue(self, text: &str) -> String {
        self.wrap("1;34", text)
    }

    fn wrap(self, code: &str, text: &str) -> String {
        match self {
            Paint::Plain => text.to_owned(),
            Paint::Colour => format!("\u{1b}[{code}m{text}\u{1b}[0m"),
        }
    }
}
