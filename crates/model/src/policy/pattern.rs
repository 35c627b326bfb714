//! Finds the one pattern that decides a path, by Vault's five rules of priority.
//!
//! A tree over segments: a node has one edge for each plain segment, one for `+`, and the `*` patterns that end there.
//! A search walks each matching edge once and leaves out branches that cannot beat what it has found, so its cost is
//! bounded by the number of patterns that share a beginning with the path, never by combinations of wildcards.
//! Knows nothing of capabilities except which patterns allow something.

use ahash::AHashMap;
use std::cmp::Reverse;
use std::collections::HashMap;

/// Number of a pattern, given by whoever builds the index.
pub(super) type PatternId = u32;
type NodeId = u32;
type SegmentId = u32;

const ROOT: NodeId = 0;
/// More segments than any path has (see `RequestPath`; one more for the folder spelling of a list). A pattern with
/// more can match nothing and would only cost memory.
const DEEPEST: usize = 66;

/// The priority of a pattern: greater wins (Vault's documentation, "Policy syntax", rules 1 to 5). A pattern without
/// wildcards has its first one infinitely late, so it wins over all others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank<'a> {
    /// Rule 1: where the first `+` or `*` stands, in bytes.
    first_wildcard: usize,
    /// Rule 2: whether it does not end in `*`.
    whole: bool,
    /// Rule 3: how many `+` segments it has.
    plus: Reverse<usize>,
    /// Rule 4: its length in bytes.
    length: usize,
    /// Rule 5: its text.
    text: &'a str,
}

impl<'a> Rank<'a> {
    pub(super) fn of(pattern: &'a str) -> Self {
        let parts = Parts::of(pattern);
        let star = if parts.glob.is_some() { parts.text.len() } else { usize::MAX };
        let mut first_plus = usize::MAX;
        let mut plus = 0;
        let mut at = 0;
        for segment in parts.segments() {
            if segment == "+" {
                first_plus = first_plus.min(at);
                plus += 1;
            }
            at += segment.len() + 1;
        }
        Self {
            first_wildcard: first_plus.min(star),
            whole: parts.glob.is_none(),
            plus: Reverse(plus),
            length: parts.text.len(),
            text: parts.text,
        }
    }

    /// Whether the pattern has no wildcards.
    pub(super) fn is_exact(&self) -> bool {
        self.first_wildcard == usize::MAX
    }

    /// The best that a pattern can be of which this much is known. Only its order matters.
    fn at_best(first_wildcard: usize, plus: usize) -> Rank<'static> {
        Rank { first_wildcard, whole: true, plus: Reverse(plus), length: usize::MAX, text: "" }
    }
}

/// A pattern taken apart.
struct Parts<'a> {
    /// Without its `*`.
    text: &'a str,
    /// Segments that must match as a whole, if there are any.
    whole: Option<&'a str>,
    /// With a `*`: how the segment after those must begin.
    glob: Option<&'a str>,
}

impl<'a> Parts<'a> {
    fn of(pattern: &'a str) -> Self {
        let (text, ends_in_star) = match pattern.strip_suffix('*') {
            Some(text) => (text, true),
            None => (pattern, false),
        };
        let (whole, glob) = match text.rsplit_once('/') {
            _ if !ends_in_star => (Some(text), None),
            Some((whole, glob)) => (Some(whole), Some(glob)),
            None => (None, Some(text)),
        };
        Self { text, whole, glob }
    }

    /// The segments that must match as a whole.
    fn segments(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        self.whole.into_iter().flat_map(|whole| whole.split('/'))
    }
}

/// All patterns of an answerer.
pub(super) struct PatternIndex {
    segments: AHashMap<Box<str>, SegmentId>,
    nodes: Vec<Node>,
}

/// A place between two segments of the patterns that lead here.
#[derive(Default)]
struct Node {
    /// Edges for plain segments; sorted once all are in.
    children: Vec<(SegmentId, NodeId)>,
    plus: Option<NodeId>,
    end: Option<PatternId>,
    /// `*` patterns that end here, by how the next segment must begin; sorted once all are in.
    globs: Vec<(Box<str>, PatternId)>,
    /// Whether a pattern here or below allows anything.
    grants: bool,
}

/// An index that is being filled.
struct Builder {
    index: PatternIndex,
    edges: HashMap<(NodeId, SegmentId), NodeId>,
}

impl Builder {
    fn insert(&mut self, pattern: &str, id: PatternId, grants: bool) {
        let parts = Parts::of(pattern);
        if parts.segments().count() > DEEPEST {
            return;
        }
        let mut at = ROOT;
        self.mark(at, grants);
        for segment in parts.segments() {
            at = if segment == "+" { self.plus_child(at) } else { self.child(at, segment) };
            self.mark(at, grants);
        }
        if let Some(node) = self.index.nodes.get_mut(at as usize) {
            match parts.glob {
                Some(beginning) => node.globs.push((beginning.into(), id)),
                None => node.end = Some(id),
            }
        }
    }

    fn mark(&mut self, at: NodeId, grants: bool) {
        if let Some(node) = self.index.nodes.get_mut(at as usize) {
            node.grants |= grants;
        }
    }

    fn child(&mut self, at: NodeId, segment: &str) -> NodeId {
        let count = self.index.segments.len() as SegmentId;
        let number = *self.index.segments.entry(segment.into()).or_insert(count);
        let fresh = self.index.nodes.len() as NodeId;
        let child = *self.edges.entry((at, number)).or_insert(fresh);
        self.add_if_new(child);
        child
    }

    fn plus_child(&mut self, at: NodeId) -> NodeId {
        let fresh = self.index.nodes.len() as NodeId;
        let Some(node) = self.index.nodes.get_mut(at as usize) else { return at };
        let child = *node.plus.get_or_insert(fresh);
        self.add_if_new(child);
        child
    }

    fn add_if_new(&mut self, node: NodeId) {
        if node as usize == self.index.nodes.len() {
            self.index.nodes.push(Node::default());
        }
    }

    fn finish(self) -> PatternIndex {
        let mut index = self.index;
        for ((at, segment), child) in self.edges {
            if let Some(node) = index.nodes.get_mut(at as usize) {
                node.children.push((segment, child));
            }
        }
        for node in &mut index.nodes {
            node.children.sort_unstable();
            node.globs.sort();
        }
        index
    }
}

impl PatternIndex {
    /// Builds the index of `(pattern, number, whether it allows anything)`. Each pattern may come once.
    pub(super) fn new<'a>(patterns: impl Iterator<Item = (&'a str, PatternId, bool)>) -> Self {
        let index = Self { segments: AHashMap::new(), nodes: vec![Node::default()] };
        let mut builder = Builder { index, edges: HashMap::new() };
        for (pattern, id, grants) in patterns {
            builder.insert(pattern, id, grants);
        }
        builder.finish()
    }

    /// The pattern of highest priority that matches the path. `text` gives the text of a pattern by its number.
    pub(super) fn best<'a>(&self, path: &str, text: &dyn Fn(PatternId) -> &'a str) -> Option<(PatternId, Rank<'a>)> {
        self.search(path, text, false)
    }

    /// The pattern of highest priority that matches everything below a folder, given with its slash.
    pub(super) fn best_cover<'a>(&self, folder: &str, text: &dyn Fn(PatternId) -> &'a str) -> Option<PatternId> {
        self.search(folder, text, true).map(|(id, _)| id)
    }

    fn search<'a>(
        &self,
        path: &str,
        text: &dyn Fn(PatternId) -> &'a str,
        only_globs: bool,
    ) -> Option<(PatternId, Rank<'a>)> {
        let mut search = Search { index: self, segments: self.steps(path), text, only_globs, best: None };
        search.visit(ROOT, 0, Known { first_wildcard: None, plus: 0 });
        search.best
    }

    /// Whether a pattern that allows something can match a path that is, or lies below, this folder.
    pub(super) fn grants_below(&self, folder: &str) -> bool {
        let steps = if folder.is_empty() { Vec::new() } else { self.steps(folder) };
        let mut here = vec![ROOT];
        for step in steps {
            let mut next = Vec::new();
            for at in here {
                next.extend(self.follow(at, &step));
                next.extend(self.node(at).and_then(|node| node.plus));
            }
            here = next;
        }
        here.into_iter().filter_map(|at| self.node(at)).any(|node| node.grants)
    }

    fn steps<'p>(&self, path: &'p str) -> Vec<Step<'p>> {
        let mut offset = 0;
        let step = |segment: &'p str| {
            let step = Step { segment, number: self.segments.get(segment).copied(), offset };
            offset += segment.len() + 1;
            step
        };
        let mut steps = Vec::with_capacity(path.bytes().filter(|byte| *byte == b'/').count() + 1);
        steps.extend(path.split('/').map(step));
        steps
    }

    fn follow(&self, at: NodeId, step: &Step<'_>) -> Option<NodeId> {
        let children = &self.node(at)?.children;
        let at = children.binary_search_by_key(&step.number?, |(segment, _)| *segment).ok()?;
        children.get(at).map(|(_, child)| *child)
    }

    fn node(&self, at: NodeId) -> Option<&Node> {
        self.nodes.get(at as usize)
    }
}

/// One segment of the path that is looked for.
#[derive(Clone, Copy)]
struct Step<'p> {
    segment: &'p str,
    /// Its number; `None` when no pattern has this segment.
    number: Option<SegmentId>,
    offset: usize,
}

struct Search<'s, 'a> {
    index: &'s PatternIndex,
    segments: Vec<Step<'s>>,
    text: &'s dyn Fn(PatternId) -> &'a str,
    only_globs: bool,
    best: Option<(PatternId, Rank<'a>)>,
}

/// What is known of the patterns in a branch.
#[derive(Clone, Copy)]
struct Known {
    /// Where their first wildcard stands in them, if they have had one.
    first_wildcard: Option<usize>,
    plus: usize,
}

impl<'s> Search<'s, '_> {
    fn visit(&mut self, at: NodeId, depth: usize, known: Known) {
        if !self.could_win(known) {
            return;
        }
        let index = self.index;
        let Some(node) = index.node(at) else { return };
        if depth == self.segments.len() {
            if let (Some(id), false) = (node.end, self.only_globs) {
                self.offer(id);
            }
            return;
        }
        let Some(&step @ Step { segment, offset, .. }) = self.segments.get(depth) else { return };
        if let Some(child) = index.follow(at, &step) {
            self.visit(child, depth + 1, known);
        }
        if let Some(id) = longest_beginning(&node.globs, segment) {
            self.offer(id);
        }
        if let Some(child) = node.plus {
            let first_wildcard = Some(known.first_wildcard.unwrap_or(offset));
            self.visit(child, depth + 1, Known { first_wildcard, plus: known.plus + 1 });
        }
    }

    /// Whether any pattern in the branch could beat what was found. Plain segments are walked first, so what was found
    /// is usually hard to beat.
    fn could_win(&self, known: Known) -> bool {
        let Some((_, best)) = &self.best else { return true };
        let first_wildcard = known.first_wildcard.unwrap_or(usize::MAX);
        Rank::at_best(first_wildcard, known.plus) > *best
    }

    fn offer(&mut self, id: PatternId) {
        let rank = Rank::of((self.text)(id));
        if self.best.as_ref().is_none_or(|(_, best)| rank > *best) {
            self.best = Some((id, rank));
        }
    }
}

/// The longest of the sorted beginnings with which the segment begins.
fn longest_beginning(sorted: &[(Box<str>, PatternId)], segment: &str) -> Option<PatternId> {
    let mut bound = segment.as_bytes();
    loop {
        // The last entry that is not greater than the bound: itself a beginning, or the bound shrinks to what they share.
        let after = sorted.partition_point(|(beginning, _)| beginning.as_bytes() <= bound);
        let (beginning, id) = sorted.get(after.checked_sub(1)?)?;
        let shared = beginning.bytes().zip(bound).take_while(|(a, b)| a == *b).count();
        if shared == beginning.len() {
            return Some(*id);
        }
        bound = bound.get(..shared)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_five_rules_order_patterns() {
        // Each line: the lower, the higher.
        for (lower, higher) in [
            ("secret/+/b", "secret/a/+"),
            ("secret/*", "secret/a*"),
            ("secret/+", "secret/a"),
            ("secret/*", "secret/+"),
            ("secret/+/+", "secret/+/b"),
            ("secret/+/+/foo/*", "secret/*"),
            ("secret/+/b*", "secret/+/ba*"),
            ("secret/+/a*", "secret/+/b*"),
            ("1/2/*", "1/2/+"),
            ("1/2/+", "1/2/3"),
        ] {
            assert!(Rank::of(lower) < Rank::of(higher), "{lower} < {higher}");
        }
    }

    #[test]
    fn a_plus_inside_a_segment_is_no_wildcard() {
        assert_eq!(Rank::of("a+b/c").first_wildcard, usize::MAX);
        assert_eq!(Rank::of("a+b/+").first_wildcard, 4);
        assert_eq!(Rank::of("+a").plus, Reverse(0));
    }

    #[test]
    fn the_longest_beginning_is_found_between_longer_ones() {
        let sorted: Vec<(Box<str>, PatternId)> =
            ["", "a", "ab", "abcd", "abd", "b", "é"].iter().zip(0..).map(|(text, id)| ((*text).into(), id)).collect();
        let found = |segment| longest_beginning(&sorted, segment);
        assert_eq!(found(""), Some(0));
        assert_eq!(found("abc"), Some(2));
        assert_eq!(found("abcde"), Some(3));
        assert_eq!(found("ac"), Some(1));
        assert_eq!(found("zz"), Some(0));
        assert_eq!(found("éa"), Some(6));
        assert_eq!(longest_beginning(sorted.get(1..).unwrap(), "z"), None);
    }
}
