//! Tables for a person: no lines, and nothing that is in the way of who copies them.

use comfy_table::{CellAlignment, Table, presets};

/// An empty table; numbers stand on the right of their columns.
pub fn new(header: &[&str], numbers: &[usize]) -> Table {
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

/// Its lines, without blanks at their ends.
pub fn shown(table: &Table) -> String {
    table.trim_fmt().lines().map(|line| format!("{}\n", line.trim_end())).collect()
}
