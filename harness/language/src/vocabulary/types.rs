//! The schema types of the vocabulary: what a value may be, which keys a map takes, how keys go together.

/// What a value may be.
#[derive(Clone, Debug, PartialEq)]
pub enum Type {
    /// Anything at all.
    Any,
    /// Text. A number here is an error that says to quote it.
    Text,
    Bool,
    /// A whole number in a range, both ends included.
    Int {
        min: i64,
        max: i64,
    },
    /// Any number in a range, both ends included: probabilities, factors.
    Number {
        min: f64,
        max: f64,
    },
    /// Text, number or boolean.
    Scalar,
    Duration,
    /// A duration that may be negative: `-30s`.
    SignedDuration,
    /// `HH:MM:SS` since the start of the scenario.
    ClockTime,
    /// RFC 3339.
    Timestamp,
    Enum(Vec<String>),
    /// `Kind/name`, optionally `namespace:Kind.group/name`; with `pattern`, `*` may stand in the name.
    Ref {
        pattern: bool,
    },
    /// The kind of an object: `Deployment`.
    Kind,
    /// A server whose calls are recorded: `api`, and those the harness adds.
    Server,
    /// `status.jobStatus.state`, `spec.containers[0].image`, `metadata.annotations["a/b"]`.
    FieldPath,
    /// An expression that yields a boolean.
    Cel,
    /// A partial-match tree.
    Tree,
    /// A whole Kubernetes object.
    Object,
    /// A path of a file with objects, relative to the file that names it. Read and substituted while parsing.
    Manifest,
    /// A path of another file; it may not exist yet.
    File,
    /// `2`, or `{min: 1, max: 3}`.
    Count,
    /// Text to value.
    Map(Box<Type>),
    List(Box<Type>),
    Shape(Shape),
    /// The first alternative that fits the form of the value (scalar, list, map) decides, and reports.
    OneOf(Vec<Type>),
    /// Steps in order.
    Steps,
}

impl Type {
    pub fn list(of: Type) -> Type {
        Type::List(Box::new(of))
    }

    pub fn map(of: Type) -> Type {
        Type::Map(Box::new(of))
    }

    pub fn words(words: &[&str]) -> Type {
        Type::Enum(words.iter().map(|w| (*w).to_owned()).collect())
    }

    /// A count of things: zero or more.
    pub fn natural() -> Type {
        Type::Int { min: 0, max: 1_000_000 }
    }

    pub fn at_least_one() -> Type {
        Type::Int { min: 1, max: 1_000_000 }
    }

    pub fn object_ref() -> Type {
        Type::Ref { pattern: false }
    }

    pub fn object_pattern() -> Type {
        Type::Ref { pattern: true }
    }
}

impl From<Shape> for Type {
    fn from(shape: Shape) -> Type {
        Type::Shape(shape)
    }
}

/// The keys of a map and how they go together.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Shape {
    pub keys: Vec<Key>,
    pub rules: Vec<Rule>,
    /// Whether keys not listed are taken as they are.
    pub open: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Key {
    pub name: String,
    pub ty: Type,
    pub required: bool,
    pub doc: String,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Rule {
    ExactlyOne(Vec<String>),
    AtMostOne(Vec<String>),
    AtLeastOne(Vec<String>),
}

impl Rule {
    pub fn keys(&self) -> &[String] {
        match self {
            Rule::ExactlyOne(keys) | Rule::AtMostOne(keys) | Rule::AtLeastOne(keys) => keys,
        }
    }
}

impl Shape {
    pub fn new() -> Shape {
        Shape::default()
    }

    /// Takes every key.
    pub fn open() -> Shape {
        Shape { open: true, ..Shape::default() }
    }

    pub fn required(self, name: &str, ty: impl Into<Type>, doc: &str) -> Shape {
        self.key(name, ty.into(), true, doc)
    }

    pub fn optional(self, name: &str, ty: impl Into<Type>, doc: &str) -> Shape {
        self.key(name, ty.into(), false, doc)
    }

    pub fn exactly_one(mut self, keys: &[&str]) -> Shape {
        self.rules.push(Rule::ExactlyOne(own(keys)));
        self
    }

    pub fn at_most_one(mut self, keys: &[&str]) -> Shape {
        self.rules.push(Rule::AtMostOne(own(keys)));
        self
    }

    pub fn at_least_one(mut self, keys: &[&str]) -> Shape {
        self.rules.push(Rule::AtLeastOne(own(keys)));
        self
    }

    pub fn find(&self, name: &str) -> Option<&Key> {
        self.keys.iter().find(|k| k.name == name)
    }

    fn key(mut self, name: &str, ty: Type, required: bool, doc: &str) -> Shape {
        self.keys.push(Key { name: name.to_owned(), ty, required, doc: doc.to_owned() });
        self
    }
}

fn own(keys: &[&str]) -> Vec<String> {
    keys.iter().map(|k| (*k).to_owned()).collect()
}

/// What sort of step it is: decides where it may stand and how it is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum StepKind {
    /// Something a user or another controller does to objects.
    Action,
    Time,
    /// A question with an answer at once or within a deadline.
    Check,
    /// A check that may also stand below `monitors:` and holds until the end.
    Monitor,
    Fault,
    /// Steps around steps.
    Structure,
}

impl StepKind {
    pub fn title(self) -> &'static str {
        match self {
            StepKind::Action => "Actions on objects",
            StepKind::Time => "Time",
            StepKind::Check => "Checks",
            StepKind::Monitor => "Checks that may also stand below `monitors:`",
            StepKind::Fault => "Faults",
            StepKind::Structure => "Structure",
        }
    }
}

/// One word of the language.
#[derive(Clone, Debug, PartialEq)]
pub struct StepSchema {
    pub name: String,
    pub kind: StepKind,
    pub args: Type,
    /// One sentence.
    pub doc: String,
    /// One step as it stands in a file, without the leading dash.
    pub example: String,
    /// Only means something in virtual time: reported as skipped elsewhere.
    pub virtual_only: bool,
}

impl StepSchema {
    pub fn new(kind: StepKind, name: &str, args: impl Into<Type>, doc: &str, example: &str) -> StepSchema {
        StepSchema {
            name: name.to_owned(),
            kind,
            args: args.into(),
            doc: doc.to_owned(),
            example: example.to_owned(),
            virtual_only: false,
        }
    }

    pub fn virtual_only(mut self) -> StepSchema {
        self.virtual_only = true;
        self
    }
}
