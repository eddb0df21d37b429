//! Text tables in the layout of Go's tabwriter as Docker sets it: cells padded to the widest of
//! their column (at least ten), three spaces between columns, nothing behind the last cell.

use unicode_width::UnicodeWidthStr;

/// Narrowest column, its padding included.
const MIN_WIDTH: usize = 10;
/// Spaces between a column's widest cell and the next column.
const PADDING: usize = 3;

/// Lays out lines whose cells are divided by tabs. A column block ends where a line has fewer
/// cells, as in tabwriter.
pub fn align(text: &str) -> String {
    align_with(text, MIN_WIDTH, PADDING)
}

/// The same with other widths (`stats`, `system df -v` use wider columns).
pub fn align_with(text: &str, min_width: usize, padding: usize) -> String {
    let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split('\t').collect()).collect();
    let mut widths: Vec<Vec<usize>> = lines.iter().map(|cells| vec![0; cells.len()]).collect();
    let columns = lines.iter().map(Vec::len).max().unwrap_or(0);
    for column in 0..columns {
        let mut start = 0;
        while start < lines.len() {
            // The last cell of a line is not part of a column: it ends nothing with a tab.
            let member = |line: usize| lines[line].len() > column + 1;
            if !member(start) {
                start += 1;
                continue;
            }
            let end = (start..lines.len()).find(|&line| !member(line)).unwrap_or(lines.len());
            let widest = (start..end).map(|line| lines[line][column].width()).max().unwrap_or(0);
            // An all-empty column vanishes in tabwriter with DiscardEmptyColumns only; ours stays.
            let width = (widest + padding).max(min_width);
            widths[start..end].iter_mut().for_each(|line| line[column] = width);
            start = end;
        }
    }
    let mut aligned = String::with_capacity(text.len() * 2);
    for (cells, widths) in lines.iter().zip(&widths) {
        for (index, cell) in cells.iter().enumerate() {
            aligned.push_str(cell);
            if index + 1 < cells.len() {
                let gap = widths[index].saturating_sub(cell.width());
                aligned.extend(std::iter::repeat_n(' ', gap));
            }
        }
        aligned.push('\n');
    }
    aligned
}

/// Shortens `text` to `width` terminal columns, ending in `…`.
pub fn ellipsis(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    match width {
        0 => String::new(),
        1 => text.chars().take(1).collect(),
        _ => text.chars().take(width - 1).chain(['…']).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_have_at_least_ten_and_three_between() {
        assert_eq!(
            align("A\tB\tC\nxxxxxxxxxxxx\ty\tz\n"),
            "A              B         C\nxxxxxxxxxxxx   y         z\n"
        );
    }

    #[test]
    fn the_last_cell_is_not_padded() {
        assert_eq!(align("NAME\nlong-name\n"), "NAME\nlong-name\n");
    }

    #[test]
    fn an_ellipsis_counts_as_one() {
        assert_eq!(ellipsis("abcdef", 4), "abc…");
        assert_eq!(ellipsis("abcd", 4), "abcd");
    }
}
