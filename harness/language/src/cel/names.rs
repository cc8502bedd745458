//! Which names, functions and fields an expression uses: a walk over the syntax tree that knows the scopes of macros
//! (`filter(j, ..)` introduces `j`).

use cel::common::ast::{EntryExpr, Expr};
use cel::parser::Expression;
use std::collections::BTreeSet;

/// Functions and operators of CEL that the `cel` crate implements, in its spelling.
pub(super) const BUILT_IN: &[&str] = &[
    "all",
    "bytes",
    "contains",
    "double",
    "duration",
    "endsWith",
    "exists",
    "exists_one",
    "filter",
    "getDate",
    "getDayOfMonth",
    "getDayOfWeek",
    "getDayOfYear",
    "getFullYear",
    "getHours",
    "getMilliseconds",
    "getMinutes",
    "getMonth",
    "getSeconds",
    "has",
    "hasValue",
    "int",
    "map",
    "matches",
    "max",
    "min",
    "optional.none",
    "optional.of",
    "optional.ofNonZeroValue",
    "or",
    "orValue",
    "size",
    "startsWith",
    "string",
    "timestamp",
    "uint",
    "value",
];

#[derive(Default)]
pub(super) struct Used {
    pub variables: BTreeSet<String>,
    pub functions: BTreeSet<String>,
}

pub(super) fn used(expression: &Expression) -> Used {
    let mut used = Used::default();
    walk(&expression.expr, &mut Vec::new(), &mut used);
    used
}

fn walk<'e>(expr: &'e Expr, bound: &mut Vec<&'e str>, used: &mut Used) {
    match expr {
        Expr::Ident(name) => {
            if !bound.contains(&name.as_str()) && !name.starts_with('@') {
                used.variables.insert(name.clone());
            }
        }
        Expr::Select(select) => walk(&select.operand.expr, bound, used),
        Expr::Call(call) => {
            // Operators are calls too, with names like `_&&_`.
            if call.func_name.starts_with(char::is_alphabetic) {
                used.functions.insert(call.func_name.clone());
            }
            call.target.iter().for_each(|target| walk(&target.expr, bound, used));
            call.args.iter().for_each(|arg| walk(&arg.expr, bound, used));
        }
        Expr::List(list) => list.elements.iter().for_each(|e| walk(&e.expr, bound, used)),
        Expr::Map(map) => map.entries.iter().for_each(|e| walk_entry(&e.expr, bound, used)),
        Expr::Struct(shape) => shape.entries.iter().for_each(|e| walk_entry(&e.expr, bound, used)),
        Expr::Comprehension(c) => {
            walk(&c.iter_range.expr, bound, used);
            walk(&c.accu_init.expr, bound, used);
            let depth = bound.len();
            bound.push(&c.iter_var);
            bound.extend(c.iter_var2.as_deref());
            bound.push(&c.accu_var);
            [&c.loop_cond, &c.loop_step, &c.result].into_iter().for_each(|e| walk(&e.expr, bound, used));
            bound.truncate(depth);
        }
        Expr::Literal(_) | Expr::Unspecified => {}
    }
}

fn walk_entry<'e>(entry: &'e EntryExpr, bound: &mut Vec<&'e str>, used: &mut Used) {
    match entry {
        EntryExpr::StructField(field) => walk(&field.value.expr, bound, used),
        EntryExpr::MapEntry(entry) => {
            walk(&entry.key.expr, bound, used);
            walk(&entry.value.expr, bound, used);
        }
    }
}

/// Longest chains `variable.a.b`, without the variable, in order of appearance.
pub(super) fn fields(expression: &Expression, variable: &str) -> Vec<String> {
    let mut found = Vec::new();
    collect(&expression.expr, variable, &mut found);
    let mut seen = BTreeSet::new();
    found.retain(|path| seen.insert(path.clone()));
    found
}

fn collect(expr: &Expr, variable: &str, found: &mut Vec<String>) {
    if let Some(path) = chain(expr, variable) {
        if !path.is_empty() {
            found.push(path.join("."));
        }
        return;
    }
    match expr {
        Expr::Select(select) => collect(&select.operand.expr, variable, found),
        Expr::Call(call) => {
            call.target.iter().for_each(|t| collect(&t.expr, variable, found));
            call.args.iter().for_each(|a| collect(&a.expr, variable, found));
        }
        Expr::List(list) => list.elements.iter().for_each(|e| collect(&e.expr, variable, found)),
        Expr::Comprehension(c) => {
            let parts = [&c.iter_range, &c.accu_init, &c.loop_cond, &c.loop_step, &c.result];
            parts.into_iter().for_each(|e| collect(&e.expr, variable, found));
        }
        Expr::Map(_) | Expr::Struct(_) | Expr::Ident(_) | Expr::Literal(_) | Expr::Unspecified => {}
    }
}

fn chain(expr: &Expr, variable: &str) -> Option<Vec<String>> {
    match expr {
        Expr::Ident(name) if name == variable => Some(Vec::new()),
        Expr::Select(select) => {
            let mut path = chain(&select.operand.expr, variable)?;
            path.push(select.field.clone());
            Some(path)
        }
        _ => None,
    }
}
