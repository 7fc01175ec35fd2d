//! Singular JSON paths (`$.a.b[0]['x']`) and the tree that several of them make, so that one pass over a record
//! finds the values of all columns. Never: values, types.

use crate::error::{Error, Result};

/// One step of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// A member of an object.
    Key(String),
    /// An element of an array, from 0.
    Index(usize),
}

/// Steps a path may have.
const STEPS_MAX: usize = 64;

/// Parses a singular query of RFC 9535: names and non-negative indexes.
pub fn parse(text: &str) -> Result<Vec<Step>> {
    let refuse = |why: &str| Error::usage(format!("JSON path \"{text}\": {why}"));
    let mut rest = text.strip_prefix('$').ok_or_else(|| refuse("must begin with $"))?;
    let mut steps = Vec::new();
    while !rest.is_empty() {
        if steps.len() == STEPS_MAX {
            return Err(refuse("has too many steps"));
        }
        let step;
        (step, rest) = if let Some(after) = rest.strip_prefix('.') {
            let end = after.find(['.', '[']).unwrap_or(after.len());
            let name = &after[..end];
            if name.is_empty() || name.contains(['*', '\'', '"', ' ', ']']) {
                return Err(refuse("has an empty or unquoted name after a dot; write ['name']"));
            }
            (Step::Key(name.to_owned()), &after[end..])
        } else if let Some(after) = rest.strip_prefix('[') {
            bracket(after).ok_or_else(|| refuse("has a bracket that is neither [0] nor ['name']"))?
        } else {
            return Err(refuse("must go on with . or ["));
        };
        steps.push(step);
    }
    Ok(steps)
}

/// What follows an opening bracket: an index or a quoted name, and the closing bracket.
fn bracket(text: &str) -> Option<(Step, &str)> {
    let quote = text.chars().next()?;
    if quote != '\'' && quote != '"' {
        let (digits, rest) = text.split_once(']')?;
        let plain = digits == "0" || !digits.starts_with(['0', '+']);
        return digits.parse().ok().filter(|_| plain).map(|index| (Step::Index(index), rest));
    }
    let mut name = String::new();
    let mut characters = text.char_indices().skip(1);
    while let Some((at, c)) = characters.next() {
        if c == '\\' {
            let (_, escaped) = characters.next().filter(|(_, c)| matches!(c, '\\' | '\'' | '"'))?;
            name.push(escaped);
        } else if c == quote {
            return text[at + 1..].strip_prefix(']').map(|rest| (Step::Key(name), rest));
        } else {
            name.push(c);
        }
    }
    None
}

/// A place in the tree of all paths. Slots are numbered depth first, so a subtree's are `first..last`.
#[derive(Debug, Default, Clone)]
pub struct Node {
    /// The slot a value here goes into.
    pub slot: Option<usize>,
    /// Members wanted below.
    pub keys: Vec<(String, Node)>,
    /// Elements wanted below.
    pub indexes: Vec<(usize, Node)>,
    /// First slot of this subtree.
    pub first: usize,
    /// End of this subtree's slots.
    pub last: usize,
}

impl Node {
    /// The tree of some paths, and the slot of each.
    pub fn build(paths: &[Vec<Step>]) -> (Self, Vec<usize>) {
        let mut root = Self::default();
        for path in paths {
            let mut node = &mut root;
            for step in path {
                node = node.child(step);
            }
            node.slot = Some(0);
        }
        root.number(0);
        let slots = paths.iter().map(|path| root.find(path)).collect();
        (root, slots)
    }

    /// Whether anything is wanted below.
    pub fn has_children(&self) -> bool {
        !self.keys.is_empty() || !self.indexes.is_empty()
    }

    fn child(&mut self, step: &Step) -> &mut Self {
        match step {
            Step::Key(key) => entry(&mut self.keys, key),
            Step::Index(index) => entry(&mut self.indexes, index),
        }
    }

    fn number(&mut self, mut next: usize) -> usize {
        self.first = next;
        if let Some(slot) = &mut self.slot {
            *slot = next;
            next += 1;
        }
        let children = self.keys.iter_mut().map(|(_, n)| n).chain(self.indexes.iter_mut().map(|(_, n)| n));
        for child in children {
            next = child.number(next);
        }
        self.last = next;
        next
    }

    /// The slot of a path that is in the tree.
    fn find(&self, path: &[Step]) -> usize {
        let next = match path.first() {
            None => return self.slot.unwrap_or(self.first),
            Some(Step::Key(key)) => self.keys.iter().find(|(k, _)| k == key).map(|(_, n)| n),
            Some(Step::Index(index)) => self.indexes.iter().find(|(i, _)| i == index).map(|(_, n)| n),
        };
        next.map_or(self.first, |node| node.find(&path[1..]))
    }
}

fn entry<'a, K: Clone + PartialEq>(list: &'a mut Vec<(K, Node)>, key: &K) -> &'a mut Node {
    let at = list.iter().position(|(k, _)| k == key).unwrap_or_else(|| {
        list.push((key.clone(), Node::default()));
        list.len() - 1
    });
    &mut list[at].1
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn key(name: &str) -> Step {
        Step::Key(name.to_owned())
    }

    #[test]
    fn paths_parse() {
        assert_eq!(parse("$").unwrap(), []);
        assert_eq!(parse("$.a.b[0]['x']").unwrap(), [key("a"), key("b"), Step::Index(0), key("x")]);
        assert_eq!(parse(r#"$["a.b"]['it\'s']"#).unwrap(), [key("a.b"), key("it's")]);
        assert_eq!(parse("$.größe").unwrap(), [key("größe")]);
        for bad in
            ["", "a", "$a", "$.", "$..a", "$[", "$[]", "$[-1]", "$[01]", "$['a'", "$['a]", "$.*", "$[*]"]
        {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn equal_paths_share_a_slot_and_subtrees_are_ranges() {
        let paths: Vec<_> =
            ["$.a.b", "$.c", "$.a", "$.c", "$.a.d[2]"].iter().map(|p| parse(p).unwrap()).collect();
        let (root, slots) = Node::build(&paths);
        assert_eq!(slots[1], slots[3]);
        assert_eq!((root.first, root.last), (0, 4));
        let a = &root.keys[0].1;
        assert_eq!((a.slot, a.first, a.last), (Some(slots[2]), 0, 3));
        assert!(slots[0] < a.last && slots[4] < a.last && slots[1] >= a.last);
    }

    proptest! {
        #[test]
        fn any_name_can_be_quoted(names in proptest::collection::vec(".{1,8}", 0..5)) {
            let text = names.iter().fold("$".to_owned(), |path, name| {
                format!("{path}['{}']", name.replace('\\', "\\\\").replace('\'', "\\'"))
            });
            prop_assert_eq!(parse(&text).unwrap(), names.iter().map(|n| key(n)).collect::<Vec<_>>());
        }

        #[test]
        fn nonsense_never_panics(text in "\\$?.{0,20}") {
            let _ = parse(&text);
        }
    }
}
