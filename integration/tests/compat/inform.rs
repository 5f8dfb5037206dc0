//! INFO: every line of `redis-sentinel` is there, in its order, with its sections; values of the same kind.

use anyhow::{Context, Result, ensure};

/// Lines as (section, key, value).
fn lines(text: &str) -> Vec<(String, String, String)> {
    let mut section = String::new();
    let mut lines = Vec::new();
    for line in text.split("\r\n") {
        if let Some(title) = line.strip_prefix("# ") {
            section = title.to_owned();
        } else if let Some((key, value)) = line.split_once(':') {
            lines.push((section.clone(), key.to_owned(), value.to_owned()));
        }
    }
    lines
}

/// Numbers stay numbers, with as many decimals.
fn kind(value: &str) -> (bool, usize) {
    let decimals = value.split_once('.').map_or(0, |(_, decimals)| decimals.len());
    match value.parse::<f64>() {
        Ok(_) => (true, decimals),
        Err(_) => (false, 0),
    }
}

/// Compares two whole replies.
pub(crate) fn compare(stock: &str, ours: &str) -> Result<()> {
    let (stock, ours) = (lines(stock), lines(ours));
    ensure!(stock.len() > 80, "only {} lines", stock.len());
    let mut rest = ours.iter();
    for (section, key, value) in &stock {
        let found = rest
            .by_ref()
            .find(|line| line.0 == *section && line.1 == *key)
            .with_context(|| {
                format!("{key} of # {section} is missing, or not where redis-sentinel has it")
            })?;
        ensure!(
            kind(value) == kind(&found.2),
            "{key}: {:?} instead of something like {value:?}",
            found.2
        );
    }
    println!("{} lines of INFO in order, {} of ours", stock.len(), ours.len());
    Ok(())
}
