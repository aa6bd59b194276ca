//! Lays out what people read: aligned columns, spans of time.

/// One column of a table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Column {
    title: &'static str,
    is_number: bool,
}

impl Column {
    pub(crate) const fn text(title: &'static str) -> Self {
        Self { title, is_number: false }
    }

    pub(crate) const fn number(title: &'static str) -> Self {
        Self { title, is_number: true }
    }
}

/// Aligns rows under their titles, with nothing after the last cell of a line.
pub(crate) fn table(columns: &[Column], rows: &[Vec<String>]) -> String {
    let titles: Vec<String> = columns.iter().map(|column| column.title.to_owned()).collect();
    let lines: Vec<&Vec<String>> = std::iter::once(&titles).chain(rows).collect();
    let widths: Vec<usize> = (0..columns.len())
        .map(|index| {
            lines.iter().filter_map(|line| line.get(index)).map(|cell| cell.chars().count()).max()
        })
        .map(Option::unwrap_or_default)
        .collect();
    let mut text = String::new();
    for line in lines {
        let cells = line.iter().zip(columns).zip(&widths).map(|((cell, column), width)| {
            if column.is_number { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
        });
        let cells: Vec<String> = cells.collect();
        text += cells.join("  ").trim_end();
        text.push('\n');
    }
    text
}

/// A span of time in the two units that matter.
pub(crate) fn span(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{}h{:02}m", seconds / 3600, seconds / 60 % 60),
        _ => format!("{}d{:02}h", seconds / 86_400, seconds / 3600 % 24),
    }
}

/// What others sent, as a terminal may have it: without characters that it would obey, and no
/// longer than `most` characters.
pub(crate) fn plain(text: &str, most: usize) -> String {
    let mut plain: String = text
        .chars()
        .take(most + 1)
        .map(|c| if is_obeyed(c) { char::REPLACEMENT_CHARACTER } else { c })
        .collect();
    if let Some((end, _)) = plain.char_indices().nth(most) {
        plain.truncate(end);
        plain.pop();
        plain.push('\u{2026}');
    }
    plain
}

/// Whether a terminal does something else than to show it: control characters, and what changes
/// the direction of text.
fn is_obeyed(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// What stands where there is nothing to tell.
pub(crate) fn absent() -> String {
    "-".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_short() {
        for (seconds, expected) in
            [(0, "0s"), (59, "59s"), (61, "1m01s"), (3_600, "1h00m"), (90_000, "1d01h")]
        {
            assert_eq!(span(seconds), expected);
        }
    }

    #[test]
    fn what_others_sent_is_shown_and_not_obeyed() {
        assert_eq!(plain("B\u{fc}ro", 10), "B\u{fc}ro");
        assert_eq!(plain("\u{1b}[2J\u{202e}", 10), "\u{fffd}[2J\u{fffd}");
        assert_eq!(plain("12345", 5), "12345");
        assert_eq!(plain("123456", 5), "1234\u{2026}");
    }

    #[test]
    fn numbers_stand_to_the_right() {
        let rows = [["a", "1"], ["bcd", "234567"]].map(|row| row.map(str::to_owned).to_vec());
        let text = table(&[Column::text("NAME"), Column::number("COUNT")], &rows);
        assert_eq!(text, "NAME   COUNT\na          1\nbcd   234567\n");
    }
}
