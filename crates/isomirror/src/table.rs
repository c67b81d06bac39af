//! Tables for a person: columns of numbers stand right, and no line ends in blanks.

use comfy_table::{CellAlignment, Table, presets};

/// A table with this header, whose columns of these numbers hold numbers.
pub fn with(header: &[&str], numbers: &[usize]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(header);
    for column in numbers {
        if let Some(column) = table.column_mut(*column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

/// It as text. Lines that end in blanks are no help to those who copy them.
pub fn trimmed(table: &Table) -> String {
    table.trim_fmt().lines().map(|line| format!("{}\n", line.trim_end())).collect()
}
