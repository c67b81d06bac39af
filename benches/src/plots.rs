//! Bars, in groups, on a logarithmic scale: what is compared here differs by factors.

use std::path::Path;

use anyhow::{Context, Result, anyhow};
use plotters::{
    prelude::*,
    style::text_anchor::{HPos, Pos, VPos},
};

use crate::{mirrors::Mirror, stats::Spread};

const SIZE: (u32, u32) = (1200, 440);
const FONT: &str = "sans-serif";
/// Above the bars, for the title and for what the colours mean.
const TOP: u32 = 70;
/// Room between groups, in parts of a group.
const BETWEEN: f64 = 0.2;

/// One plot.
pub struct Bars {
    /// What is shown, and in which unit.
    pub title: &'static str,
    /// What is beside each other.
    pub groups: Vec<String>,
    /// For each mirror a value in each group, where there is one.
    pub series: Vec<(Mirror, Vec<Option<Spread>>)>,
}

fn colour(mirror: Mirror) -> RGBColor {
    match mirror {
        Mirror::Batches => RGBColor(0, 114, 178),
        Mirror::Records => RGBColor(86, 180, 233),
        Mirror::Mm2 => RGBColor(213, 94, 0),
        Mirror::Mm2Default => RGBColor(240, 165, 90),
        Mirror::Mm1 => RGBColor(204, 121, 167),
        Mirror::Bare => RGBColor(0, 120, 90),
        Mirror::FetchOnly => RGBColor(150, 150, 150),
        Mirror::ProduceOnly => RGBColor(195, 195, 195),
        Mirror::None => RGBColor(110, 110, 110),
    }
}

/// Writes a plot as SVG.
pub fn draw(bars: &Bars, path: &Path) -> Result<()> {
    let mut svg = String::new();
    // Its errors are those of its backend, which can't fail on a string, and may not be sent between threads.
    drawn(bars, &mut svg).map_err(|error| anyhow!("the plot of {} failed: {error}", bars.title))?;
    std::fs::write(path, svg + "\n").with_context(|| format!("failed to write {}", path.display()))
}

fn drawn(bars: &Bars, svg: &mut String) -> Result<(), Box<dyn std::error::Error>> {
    // Colours are for what is there.
    let series: Vec<_> =
        bars.series.iter().filter(|(_, values)| values.iter().any(Option::is_some)).collect();
    let values = || series.iter().flat_map(|(_, values)| values).flatten();
    let low = values().map(|spread| spread.min).filter(|v| *v > 0.0).fold(f64::INFINITY, f64::min);
    let high = values().map(|spread| spread.max).fold(0.0, f64::max);
    let (low, high) = if low < high { (low, high) } else { (high.max(1.0) / 10.0, high.max(1.0)) };
    // From the power of ten below.
    let low = 10f64.powf((low * 0.9).log10().floor());
    let root = SVGBackend::with_string(svg, SIZE).into_drawing_area();
    root.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&root)
        .margin(10)
        .margin_top(TOP)
        .x_label_area_size(30)
        .y_label_area_size(60)
        .build_cartesian_2d(0.0..bars.groups.len() as f64, (low..high * 1.3).log_scale())?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .x_labels(0)
        .y_label_formatter(&|value| value.to_string())
        .label_style((FONT, 13))
        .light_line_style(RGBColor(235, 235, 235))
        .draw()?;
    let width = (1.0 - BETWEEN) / series.len().max(1) as f64;
    for (at, (mirror, values)) in series.iter().enumerate() {
        for (group, spread) in values.iter().enumerate() {
            let Some(spread) = spread else { continue };
            let left = group as f64 + BETWEEN / 2.0 + at as f64 * width;
            let (right, middle) = (left + width, left + width / 2.0);
            let corners = [(left, low), (right, spread.median.max(low))];
            let line = vec![(middle, spread.min.max(low)), (middle, spread.max.max(low))];
            chart.draw_series([Rectangle::new(corners, colour(*mirror).filled())])?;
            chart.draw_series([PathElement::new(line, BLACK)])?;
        }
    }
    let centred = TextStyle::from((FONT, 13)).pos(Pos::new(HPos::Center, VPos::Top));
    for (group, name) in bars.groups.iter().enumerate() {
        let (x, y) = chart.plotting_area().map_coordinate(&(group as f64 + 0.5, low));
        root.draw(&Text::new(name.as_str(), (x, y + 8), centred.clone()))?;
    }
    root.draw(&Text::new(format!("{} (line: from least to greatest)", bars.title), (14, 14), (FONT, 18)))?;
    let apart = (SIZE.0 - 40) / series.len().max(1) as u32;
    for (at, (mirror, _)) in series.iter().enumerate() {
        let x = 14 + (at as u32 * apart) as i32;
        root.draw(&Rectangle::new([(x, 44), (x + 12, 56)], colour(*mirror).filled()))?;
        root.draw(&Text::new(mirror.title(), (x + 17, 43), (FONT, 13)))?;
    }
    root.present()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{Bars, drawn};
    use crate::{mirrors::Mirror, stats::Spread};

    #[test]
    fn a_plot_has_a_bar_for_each_value_and_a_name_for_each_group() {
        let groups = vec!["one".to_owned(), "two".to_owned()];
        let value = Spread::of([3.0, 4.0, 50.0]);
        let series = vec![(Mirror::Batches, vec![value, None]), (Mirror::Mm2, vec![None, None])];
        let mut svg = String::new();
        drawn(&Bars { title: "CPU", groups, series }, &mut svg).unwrap();
        assert_eq!(svg.matches("#0072B2").count(), 2, "one bar, and what its colour means: {svg}");
        assert!(svg.contains("one") && svg.contains("two") && svg.contains(Mirror::Batches.title()));
        assert!(!svg.contains(Mirror::Mm2.title()));
    }
}
