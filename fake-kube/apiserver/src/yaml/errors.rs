//! The texts of Go's YAML reader for what our parser refuses.
//!
//! go-yaml names the line of the problem, counted from zero: the scanner adds one, the parser does not, and line zero is
//! not named at all. At the end of the input the parser is a line further (`decode.go`, `fail`; `scannerc.go`).

use granit_parser::{ErrorKind, ScanError};

/// Where an error comes from, which decides how its line is counted.
#[derive(Clone, Copy, PartialEq, Eq)]
enum By {
    Scanner,
    Parser,
}

/// The body as text of characters that YAML allows.
pub(super) fn readable(body: &[u8]) -> Result<&str, String> {
    let text = std::str::from_utf8(body).map_err(|e| {
        let lead = body.get(e.valid_up_to()).copied().unwrap_or(0);
        let what = match e.error_len() {
            None => "incomplete UTF-8 octet sequence",
            Some(_) if (0xc2..=0xf4).contains(&lead) => "invalid trailing UTF-8 octet",
            Some(_) => "invalid leading UTF-8 octet",
        };
        format!("yaml: {what}")
    })?;
    let allowed = |c: char| matches!(c, '\t' | '\n' | '\r' | ' '..='~' | '\u{85}' | '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..);
    if !text.chars().all(allowed) {
        return Err("yaml: control characters are not allowed".to_owned());
    }
    first_line(text)?;
    Ok(text)
}

/// What our parser lets pass at the beginning: reserved directives, and a tab before the first token.
fn first_line(text: &str) -> Result<(), String> {
    for (i, line) in text.lines().enumerate() {
        let what = match line.chars().next() {
            Some('%') if !["YAML", "TAG"].contains(&line[1..].split(' ').next().unwrap_or("")) => {
                "found unknown directive name"
            }
            Some('\t') if !line.trim().is_empty() => "found character that cannot start any token",
            None | Some('#' | '%') => continue,
            _ if line.trim().is_empty() => continue,
            _ => return Ok(()),
        };
        return Err(numbered(By::Scanner, i, what));
    }
    Ok(())
}

/// `line` counts from zero.
fn numbered(by: By, line: usize, what: &str) -> String {
    match (line, by) {
        (0, _) => format!("yaml: {what}"),
        (n, By::Scanner) => format!("yaml: line {}: {what}", n + 1),
        (n, By::Parser) => format!("yaml: line {n}: {what}"),
    }
}

pub(super) fn syntax(text: &str, e: &ScanError) -> String {
    use ErrorKind as K;
    let (by, mut what) = wording(text, e.kind());
    let at = e.marker();
    let line = at.line().saturating_sub(1);
    let line = match e.kind() {
        K::UnclosedFlowCollection { .. }
        | K::UnexpectedEofFlowSequence
        | K::UnexpectedEofFlowMapping
        | K::UnexpectedEofImplicitFlowMapping => end(text),
        // A quoted scalar that runs on to the left of its parent: go-yaml reads on to the end.
        K::InvalidQuotedScalarIndent => text.lines().count(),
        // Noticed when the token after the line is looked for.
        K::SimpleKeyExpected | K::InvalidSimpleKey => {
            let later = text.lines().enumerate().skip(line + 1);
            let mut tokens = later.filter(|(_, l)| !l.trim().is_empty() && !l.trim_start().starts_with('#'));
            tokens.next().map_or_else(|| end(text), |(i, _)| i)
        }
        K::TabInPlainScalar | K::TabInIndentation => {
            let blank = |l: &str| l.chars().take_while(|c| c.is_whitespace()).any(|c| c == '\t');
            text.lines().enumerate().skip(line).find(|(_, l)| blank(l)).map_or(line, |(i, _)| i)
        }
        K::InvalidTrailingSingleQuotedScalar | K::InvalidTrailingDoubleQuotedScalar => {
            if let Some(bracket) = closing(text, at.index()) {
                what = format!("did not find expected ',' or '{bracket}'");
            }
            line
        }
        _ if by == By::Parser && at.index() >= text.chars().count() => end(text),
        _ => line,
    };
    numbered(by, line, &what)
}

/// The bracket that closes the flow collection at this character, if it is in one.
fn closing(text: &str, index: usize) -> Option<char> {
    let (mut open, mut quote) = (Vec::new(), None);
    for c in text.chars().take(index) {
        match (quote, c) {
            (Some(q), c) if q == c => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quote = Some(c),
            (None, '[') => open.push(']'),
            (None, '{') => open.push('}'),
            (None, ']' | '}') => drop(open.pop()),
            _ => {}
        }
    }
    open.last().copied()
}

/// The line the input ends on: a line that is not finished is finished by its end.
fn end(text: &str) -> usize {
    text.lines().count()
}

fn wording(text: &str, kind: &ErrorKind) -> (By, String) {
    use By::{Parser, Scanner};
    use ErrorKind as K;
    let (by, what) = match kind {
        K::UnexpectedEofFlowSequence | K::UnclosedFlowCollection { open: '[' } => {
            (Parser, unclosed(text, ']'))
        }
        K::UnexpectedEofFlowMapping
        | K::UnexpectedEofImplicitFlowMapping
        | K::UnclosedFlowCollection { .. } => (Parser, unclosed(text, '}')),
        K::ExpectedFlowSequenceSeparator | K::MismatchedFlowCollectionEnd { open: '[', .. } => {
            (Parser, "did not find expected ',' or ']'")
        }
        K::ExpectedFlowMappingSeparator | K::MismatchedFlowCollectionEnd { .. } => {
            (Parser, "did not find expected ',' or '}'")
        }
        K::ExpectedNodeContent | K::MisplacedFlowCollectionEnd | K::UnexpectedEof => {
            (Parser, "did not find expected node content")
        }
        K::ExpectedBlockMappingKey
        | K::UnexpectedEofBlockMapping
        | K::InvalidTrailingSingleQuotedScalar
        | K::InvalidTrailingDoubleQuotedScalar
        | K::InvalidIndentation => (Parser, "did not find expected key"),
        K::ExpectedBlockSequenceEntry | K::UnexpectedEofBlockSequence => {
            (Parser, "did not find expected '-' indicator")
        }
        K::ExpectedDocumentStart | K::InvalidDocumentEnd | K::MissingDocumentEndBeforeDirective => {
            (Parser, "did not find expected <document start>")
        }
        K::UndeclaredTagHandle => (Parser, "found undefined tag handle"),
        K::DuplicateVersionDirective => (Parser, "found duplicate %YAML directive"),
        K::UnsupportedYamlMajorVersion => (Parser, "found incompatible YAML document"),
        K::DuplicateTagDirective => (Parser, "found duplicate %TAG directive"),
        K::SimpleKeyExpected | K::InvalidSimpleKey => (Scanner, "could not find expected ':'"),
        K::UnexpectedCharacter { .. } | K::TabNotAllowed | K::TabInBlockIndentation => {
            (Scanner, "found character that cannot start any token")
        }
        K::TabInPlainScalar | K::TabInIndentation | K::TabAtBlockScalarStart => {
            (Scanner, "found a tab character that violates indentation")
        }
        K::UnclosedQuotedScalar | K::InvalidQuotedScalarIndent => (Scanner, "found unexpected end of stream"),
        K::DocumentIndicatorInQuotedScalar => (Scanner, "found unexpected document indicator"),
        K::UnknownQuotedScalarEscape => (Scanner, "found unknown escape character"),
        K::InvalidQuotedScalarHexEscape | K::InvalidLowSurrogateHexEscape => {
            (Scanner, "did not find expected hexdecimal number")
        }
        K::InvalidUnicodeEscape
        | K::InvalidLowSurrogate
        | K::MissingLowSurrogate
        | K::UnpairedLowSurrogate => (Scanner, "found invalid Unicode character escape code"),
        K::BlockSequenceEntryNotAllowed | K::BlockEntryInFlowCollection => {
            (Scanner, "block sequence entries are not allowed in this context")
        }
        K::MappingKeyNotAllowed => (Scanner, "mapping keys are not allowed in this context"),
        K::MappingValueNotAllowed | K::InvalidColonPlacement | K::InvalidMappingValueWhitespace => {
            (Scanner, "mapping values are not allowed in this context")
        }
        K::InvalidBlockScalarHeader | K::InvalidDirectiveTerminator => {
            (Scanner, "did not find expected comment or line break")
        }
        K::ZeroBlockScalarIndent => (Scanner, "found an indentation indicator equal to 0"),
        K::MissingAnchorOrAliasName => (Scanner, "did not find expected alphabetic or numeric character"),
        K::MissingTagUri | K::UnclosedVerbatimTag | K::InvalidGlobalTagCharacter => {
            (Scanner, "did not find expected tag URI")
        }
        K::ExpectedTagBang | K::ExpectedTagDirectiveBang => (Scanner, "did not find expected '!'"),
        K::InvalidTagTerminator | K::InvalidTagDirectiveTerminator => {
            (Scanner, "did not find expected whitespace or line break")
        }
        K::InvalidDirectiveName | K::DirectiveDisallowed => (Scanner, "found unknown directive name"),
        K::RecursionLimitExceeded => (Scanner, "exceeded depth limit of 10000"),
        // Kinds that go-yaml does not refuse, or refuses elsewhere.
        other => return (Scanner, other.to_string()),
    };
    (by, what.to_owned())
}

/// A flow collection that the input ends in: after a separator a value is missing, after a value the end.
fn unclosed(text: &str, close: char) -> &'static str {
    match text.trim_end().chars().next_back() {
        Some('[' | '{' | ',' | ':') => "did not find expected node content",
        _ if close == ']' => "did not find expected ',' or ']'",
        _ => "did not find expected ',' or '}'",
    }
}
