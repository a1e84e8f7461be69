//! Did-you-mean: the known name nearest to a misspelt one.

/// The candidate that is likely meant by `name`, if any is near enough. Of equally near ones the first wins.
pub fn did_you_mean<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let limit = match name.chars().count() {
        0..=1 => return None,
        2..=3 => 1,
        4..=7 => 2,
        _ => 3,
    };
    let lower = name.to_lowercase();
    let mut best: Option<(usize, &str)> = None;
    for candidate in candidates {
        if candidate == name {
            continue;
        }
        let distance = if candidate.to_lowercase() == lower { 0 } else { distance(&lower, candidate, limit) };
        // A suggestion that shares no letter with what was written helps nobody.
        if distance <= limit
            && distance < name.len().max(candidate.len())
            && best.is_none_or(|b| distance < b.0)
        {
            best = Some((distance, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

/// Edits (insert, remove, replace, swap neighbours) between two words; `limit + 1` or more if they are further apart.
pub fn distance(a: &str, b: &str, limit: usize) -> usize {
    let a: Vec<char> = a.chars().collect();
    let b: Vec<char> = b.chars().collect();
    if a.len().abs_diff(b.len()) > limit {
        return limit + 1;
    }
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let same = usize::from(a[i - 1] != b[j - 1]);
            row[j] = (last[j - 1] + same).min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(before[j - 2] + 1);
            }
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_are_found() {
        let known = ["minimize", "measure", "epochs", "relu", "gelu", "axis"];
        assert_eq!(did_you_mean("minimise", known), Some("minimize"));
        assert_eq!(did_you_mean("epoch", known), Some("epochs"));
        assert_eq!(did_you_mean("Relu", known), Some("relu"));
        assert_eq!(did_you_mean("axsi", known), Some("axis"));
    }

    #[test]
    fn far_names_are_not() {
        let known = ["minimize", "x", "ab"];
        assert_eq!(did_you_mean("banana", known), None);
        assert_eq!(did_you_mean("y", known), None);
        assert_eq!(did_you_mean("cd", known), None);
    }
}
