//! `docs/security-tests.md` names tests: each must be there, or the page promises what nobody checks.

use std::path::Path;

#[test]
fn every_test_that_the_page_names_is_there() {
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    let page = std::fs::read_to_string(root.join("docs/security-tests.md")).unwrap();
    let mut named = 0;
    for word in page.split('`').skip(1).step_by(2) {
        let Some((file, test)) = word.split_once("::") else { continue };
        named += 1;
        let text =
            std::fs::read_to_string(root.join(file)).unwrap_or_else(|error| panic!("{file} of `{word}`: {error}"));
        let starts = if file.ends_with(".py") { format!("def {test}(") } else { format!("fn {test}(") };
        assert!(text.contains(&starts), "{file} has no test named {test}");
        let mut before = text.split(&starts).next().unwrap().lines().rev().take(4).map(str::trim);
        let is_test = file.ends_with(".py") && test.starts_with("test_")
            || before
                .any(|line| line.starts_with("#[test") || line.starts_with("#[tokio::test") || line.starts_with("#!["))
            || text.contains("proptest!");
        assert!(is_test, "{test} in {file} is no test");
    }
    assert!(named > 80, "the page names hardly any test: {named}");
}

#[test]
fn every_row_of_the_catalogue_is_answered_once() {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/security-tests.md")).unwrap();
    let rows: Vec<&str> = page
        .lines()
        .filter_map(|line| line.strip_prefix("| "))
        .filter(|line| line.starts_with(|first: char| first.is_ascii_digit() || first == 'F' && line.len() > 2))
        .filter_map(|line| line.split(" |").next())
        .collect();
    let mut seen = std::collections::BTreeSet::new();
    for row in rows.iter().flat_map(|row| row.split(", ")) {
        assert!(seen.insert(row), "row {row} is answered twice");
    }
    // As many rows as the catalogue has: 123 weaknesses and 35 scenarios of faults. A row is never taken off the page.
    assert!(seen.len() == 158, "rows are missing: {}", seen.len());
}
