//! Field access made strict. The `cel` crate (0.13, `objects.rs`, `Expr::Select`) answers `null.x` with `false`, so
//! that `!obj.status.ready` would hold for an object that is not there. Each `a.b` is evaluated as `a["b"]`, which
//! fails on what is not a map; `missing_field` then finds out whether an absent value was the reason.

use super::EvalError;
use cel::common::ast::{CallExpr, EntryExpr, Expr, LiteralValue};
use cel::parser::Expression;
use cel::{Context, Value};

const INDEX: &str = "_[_]";

/// The same expression with `a["b"]` for every `a.b` outside `has(..)`.
pub(super) fn strict(expression: &Expression) -> Expression {
    let mut out = expression.clone();
    rewrite(&mut out);
    out
}

fn rewrite(node: &mut Expression) {
    children(node).into_iter().for_each(rewrite);
    if let Expr::Select(select) = &mut node.expr
        && !select.test
    {
        let operand = std::mem::take(&mut *select.operand);
        let field = Expr::Literal(LiteralValue::String(select.field.as_str().into()));
        let field = Expression { id: node.id, expr: field };
        node.expr =
            Expr::Call(CallExpr { func_name: INDEX.to_owned(), target: None, args: vec![operand, field] });
    }
}

fn children(node: &mut Expression) -> Vec<&mut Expression> {
    match &mut node.expr {
        Expr::Select(select) => vec![&mut *select.operand],
        Expr::Call(call) => call.target.as_deref_mut().into_iter().chain(&mut call.args).collect(),
        Expr::List(list) => list.elements.iter_mut().collect(),
        Expr::Map(map) => map.entries.iter_mut().flat_map(|e| entry(&mut e.expr)).collect(),
        Expr::Struct(shape) => shape.entries.iter_mut().flat_map(|e| entry(&mut e.expr)).collect(),
        Expr::Comprehension(c) => {
            vec![&mut c.iter_range, &mut c.accu_init, &mut c.loop_cond, &mut c.loop_step, &mut c.result]
        }
        Expr::Ident(_) | Expr::Literal(_) | Expr::Unspecified => Vec::new(),
    }
}

fn entry(entry: &mut EntryExpr) -> Vec<&mut Expression> {
    match entry {
        EntryExpr::StructField(field) => vec![&mut field.value],
        EntryExpr::MapEntry(entry) => vec![&mut entry.key, &mut entry.value],
    }
}

/// After a failure: the first field that was asked of null. Only on the slow path; what stands inside a macro has no
/// value of its own and is left out.
pub(super) fn missing_field(strict: &Expression, scope: &Context<'_>) -> Option<EvalError> {
    let mut copy = strict.clone();
    let mut todo = vec![&mut copy];
    while let Some(node) = todo.pop() {
        if let Expr::Call(CallExpr { func_name, args, .. }) = &node.expr
            && let (INDEX, [operand, key]) = (func_name.as_str(), args.as_slice())
            && let Expr::Literal(LiteralValue::String(key)) = &key.expr
            && matches!(scope.resolve(operand), Ok(Value::Null))
        {
            return Some(EvalError::Missing(key.inner().to_owned()));
        }
        todo.extend(children(node).into_iter().rev());
    }
    None
}
