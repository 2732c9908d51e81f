//! Text in columns.

use icu_properties::{CodePointMapData, props::EastAsianWidth};

use super::{Paint, Tone, printable};

/// A piece of text with its tone.
pub(in crate::cli) struct Cell {
    text: String,
    tone: Tone,
}

impl Cell {
    /// A cell with a tone.
    pub(in crate::cli) fn new(text: &str, tone: Tone) -> Self {
        Self {
            text: printable(text),
            tone,
        }
    }

    fn width(&self) -> usize {
        let widths = CodePointMapData::<EastAsianWidth>::new();
        let wide = [EastAsianWidth::Wide, EastAsianWidth::Fullwidth];
        let width_of = |c: char| 1 + usize::from(wide.contains(&widths.get(c)));
        self.text.chars().map(width_of).sum()
    }
}

impl<T: AsRef<str>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::new(text.as_ref(), Tone::Plain)
    }
}

/// Rows under headings.
pub(in crate::cli) struct Table {
    rows: Vec<Vec<Cell>>,
}

impl Table {
    /// A table with these headings and no rows.
    pub(in crate::cli) fn new(headings: &[&str]) -> Self {
        let headings = headings.iter().map(|text| Cell::new(text, Tone::Heading));
        Self {
            rows: vec![headings.collect()],
        }
    }

    /// Adds a row.
    pub(in crate::cli) fn row(&mut self, cells: impl IntoIterator<Item = Cell>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// The lines of it.
    pub(in crate::cli) fn text(&self, paint: Paint) -> String {
        columns(&self.rows, paint)
    }
}

/// Names and values, one pair a line.
pub(in crate::cli) fn record<'a>(
    fields: impl IntoIterator<Item = (&'a str, Cell)>,
    paint: Paint,
) -> String {
    let rows: Vec<_> = fields
        .into_iter()
        .map(|(name, value)| vec![Cell::new(name, Tone::Heading), value])
        .collect();
    columns(&rows, paint)
}

fn columns(rows: &[Vec<Cell>], paint: Paint) -> String {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(Cell::width).max().unwrap_or_default()
    };
    let count = rows.iter().map(Vec::len).max().unwrap_or_default();
    let widths: Vec<_> = (0..count).map(width).collect();
    let mut text = String::new();
    for row in rows {
        for (column, cell) in row.iter().enumerate() {
            text.push_str(&paint.paint(cell.tone, &cell.text));
            if column + 1 < row.len() {
                text.push_str(&" ".repeat(widths[column] - cell.width() + 2));
            }
        }
        while text.ends_with(' ') {
            text.pop();
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_under_each_other_whatever_is_in_them() {
        let mut table = Table::new(&["ID", "NAME", "STATE"]);
        table.row(["1".into(), "日本".into(), Cell::new("ACTIVE", Tone::Good)]);
        table.row(["22".into(), "a\u{1b}[2J".into(), "".into()]);
        assert_eq!(
            table.text(Paint(false)),
            "ID  NAME        STATE\n1   日本        ACTIVE\n22  a\\u{1b}[2J\n"
        );
        let coloured = table.text(Paint(true));
        assert!(coloured.contains("\x1b[32mACTIVE\x1b[0m"), "{coloured}");
        assert!(!coloured.contains("\x1b[2J"));
    }
}
