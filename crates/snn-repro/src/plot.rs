//! Plots: lines and spike rasters, drawn once for SVG and once for PNG.

mod axis;

use std::path::Path;
use std::sync::Once;

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::register_font;
use snn_core::Raster;

use crate::LabError;
use axis::{Axis, Describe};

/// Colours that colour-blind readers can tell apart (Okabe and Ito 2008).
const COLOURS: [RGBColor; 7] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
    RGBColor(90, 90, 90),
];
const INK: RGBColor = RGBColor(40, 40, 40);
const GRID: RGBColor = RGBColor(225, 225, 225);
const SIZE: (u32, u32) = (760, 460);
/// A PNG has this many pixels per unit of the SVG.
const PNG_SCALE: u32 = 2;

/// How the axes of a plot are drawn.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Axes {
    /// Logarithmic horizontal axis.
    pub log_x: bool,
    /// Logarithmic vertical axis.
    pub log_y: bool,
    /// Ends of the horizontal axis; from the points if absent.
    pub x: Option<(f64, f64)>,
    /// Ends of the vertical axis; from the points if absent.
    pub y: Option<(f64, f64)>,
    /// A dot at each point: for measurements rather than curves.
    pub dots: bool,
}

/// The points of a curve over 1, 2, …: of epochs, iterations, examples. Where there is no value there is no point.
pub(crate) fn numbered<Y: Into<Option<f64>>>(values: impl IntoIterator<Item = Y>) -> Vec<(f64, f64)> {
    (1..).zip(values).filter_map(|(k, y)| Some((f64::from(k), y.into()?))).collect()
}

/// Something that can be drawn.
pub(crate) trait Picture {
    /// Draws to `area`, whose units are `k` to one of the SVG's.
    fn draw<B: DrawingBackend>(&self, area: &DrawingArea<B, Shift>, k: u32) -> Drawn<B>;
}

type Drawn<B> = Result<(), DrawingAreaErrorKind<<B as DrawingBackend>::ErrorType>>;

/// Draws `picture` to two files.
pub(crate) fn draw(picture: &impl Picture, svg: &Path, png: &Path) -> Result<(), LabError> {
    to_svg(picture, svg)?;
    to_png(picture, png)
}

/// Draws `picture` to a file whose name ends in `.svg` or `.png`.
pub(crate) fn draw_one(picture: &impl Picture, to: &Path) -> Result<(), LabError> {
    match to.extension().and_then(|kind| kind.to_str()) {
        Some("svg") => to_svg(picture, to),
        Some("png") => to_png(picture, to),
        _ => Err(LabError::Plot { path: to.into(), why: "give a name that ends in .svg or .png".into() }),
    }
}

fn to_svg(picture: &impl Picture, to: &Path) -> Result<(), LabError> {
    let area = SVGBackend::new(to, SIZE).into_drawing_area();
    drawn(to, with_font(|| picture.draw(&area, 1)).and_then(|()| area.present()))
}

fn to_png(picture: &impl Picture, to: &Path) -> Result<(), LabError> {
    let area = BitMapBackend::new(to, (SIZE.0 * PNG_SCALE, SIZE.1 * PNG_SCALE)).into_drawing_area();
    drawn(to, with_font(|| picture.draw(&area, PNG_SCALE)).and_then(|()| area.present()))
}

fn drawn(path: &Path, outcome: Result<(), impl std::fmt::Display>) -> Result<(), LabError> {
    outcome.map_err(|error| LabError::Plot { path: path.into(), why: error.to_string() })
}

fn with_font<T>(draw: impl FnOnce() -> T) -> T {
    static FONT: Once = Once::new();
    // The bytes are a font of a crate that is tested with them; if they were none, drawing text would say so.
    FONT.call_once(|| drop(register_font("sans-serif", FontStyle::Normal, epaint_default_fonts::UBUNTU_LIGHT)));
    draw()
}

type Chart<'a, B> = ChartContext<'a, B, Cartesian2d<Axis, Axis>>;

/// A white page with title, axes and grid.
fn page<'a, B: DrawingBackend>(
    area: &'a DrawingArea<B, Shift>,
    k: u32,
    title: &str,
    (x_label, y_label): (&str, &str),
    (x, y): (Axis, Axis),
) -> Result<Chart<'a, B>, DrawingAreaErrorKind<B::ErrorType>> {
    area.fill(&WHITE)?;
    let text = |size: u32| ("sans-serif", size * k).into_font().color(&INK);
    let mut chart = ChartBuilder::on(area)
        .margin(14 * k)
        .margin_right(24 * k)
        .caption(title, text(20))
        .x_label_area_size(46 * k)
        .y_label_area_size(64 * k)
        .build_cartesian_2d(Describe(x), Describe(y))?;
    chart
        .configure_mesh()
        .x_labels(8)
        .y_labels(7)
        .x_max_light_lines(0)
        .y_max_light_lines(0)
        .bold_line_style(GRID.stroke_width(k))
        .axis_style(INK.stroke_width(k))
        .x_label_formatter(&axis::label)
        .y_label_formatter(&axis::label)
        .label_style(text(14))
        .axis_desc_style(text(16))
        .set_all_tick_mark_size(4 * k)
        .x_desc(x_label)
        .y_desc(y_label)
        .draw()?;
    Ok(chart)
}

/// Lines over a common axis.
pub(crate) struct Curve<'a> {
    pub(crate) title: &'a str,
    pub(crate) x_label: &'a str,
    pub(crate) y_label: &'a str,
    pub(crate) lines: &'a [(&'a str, &'a [(f64, f64)])],
    pub(crate) axes: Axes,
}

impl Picture for Curve<'_> {
    fn draw<B: DrawingBackend>(&self, area: &DrawingArea<B, Shift>, k: u32) -> Drawn<B> {
        let points = || self.lines.iter().flat_map(|(_, points)| points.iter().copied());
        let x = Axis::around(points().map(|p| p.0), self.axes.x, self.axes.log_x);
        let y = Axis::around(points().map(|p| p.1), self.axes.y, self.axes.log_y);
        let mut chart = page(area, k, self.title, (self.x_label, self.y_label), (x, y))?;
        let drawable =
            |p: &(f64, f64)| p.0.is_finite() && p.1.is_finite() && (!self.axes.log_x || p.0 > 0.0) && (!self.axes.log_y || p.1 > 0.0);
        for (n, (label, points)) in self.lines.iter().enumerate() {
            let colour = COLOURS[n % COLOURS.len()];
            let style = colour.stroke_width(2 * k);
            let pieces = points.split(|p| !drawable(p)).filter(|piece| !piece.is_empty());
            let annotation = chart.draw_series(pieces.clone().map(|piece| PathElement::new(piece.to_vec(), style)))?;
            if !label.is_empty() {
                let size = k as i32;
                annotation
                    .label(*label)
                    .legend(move |(x, y)| PathElement::new(vec![(x, y), (x + 18 * size, y)], colour.stroke_width(3 * size as u32)));
            }
            // A point alone makes no line; it is shown as a dot.
            let dots = pieces.flat_map(|piece| if self.axes.dots || piece.len() == 1 { piece } else { &[] });
            let dots = dots.filter(|p| x.shows(p.0) && y.shows(p.1));
            chart.draw_series(dots.map(|p| Circle::new(*p, 3 * k, colour.filled())))?;
        }
        if self.lines.iter().any(|(label, _)| !label.is_empty()) {
            chart
                .configure_series_labels()
                .position(self.quietest_corner(x, y))
                .margin(10 * k)
                .legend_area_size(26 * k)
                .label_font(("sans-serif", 15 * k).into_font().color(&INK))
                .background_style(WHITE.mix(0.85))
                .border_style(GRID.stroke_width(k))
                .draw()?;
        }
        Ok(())
    }
}

impl Curve<'_> {
    /// The corner with the fewest points, for the legend.
    fn quietest_corner(&self, x: Axis, y: Axis) -> SeriesLabelPosition {
        use plotters::coord::ranged1d::Ranged;
        let mut corners = [[0usize; 2]; 2];
        for &(px, py) in self.lines.iter().flat_map(|(_, points)| points.iter()).filter(|p| x.shows(p.0) && y.shows(p.1)) {
            corners[usize::from(y.map(&py, (0, 100)) > 50)][usize::from(x.map(&px, (0, 100)) > 50)] += 1;
        }
        let named = [
            (corners[1][1], SeriesLabelPosition::UpperRight),
            (corners[0][1], SeriesLabelPosition::LowerRight),
            (corners[1][0], SeriesLabelPosition::UpperLeft),
            (corners[0][0], SeriesLabelPosition::LowerLeft),
        ];
        named.into_iter().min_by_key(|(points, _)| *points).map_or(SeriesLabelPosition::UpperRight, |(_, corner)| corner)
    }
}

/// Spikes, unit over time.
pub(crate) struct Spikes<'a> {
    pub(crate) title: &'a str,
    pub(crate) dt: f64,
    pub(crate) spikes: &'a Raster,
}

impl Picture for Spikes<'_> {
    fn draw<B: DrawingBackend>(&self, area: &DrawingArea<B, Shift>, k: u32) -> Drawn<B> {
        let ms = 1e3 * self.dt;
        let x = Axis::around(std::iter::empty(), Some((0.0, ms * self.spikes.steps().max(1) as f64)), false);
        let y = Axis::around(std::iter::empty(), Some((-1.0, self.spikes.units().max(1) as f64)), false);
        let mut chart = page(area, k, self.title, ("time (ms)", "unit"), (x, y))?;
        // A spike is a short bar, about as large as its place but never too small to see.
        let half = |places: usize, pixels: f64, low: f64, high: f64| {
            (f64::from(k) * (0.5 * pixels / places.max(1) as f64).clamp(low, high)).round() as i32
        };
        let (w, h) = (half(self.spikes.steps(), 650.0, 0.5, 1.0), half(self.spikes.units(), 350.0, 2.0, 5.0));
        let bars = self.spikes.iter().map(|(t, unit)| {
            let bar = Rectangle::new([(-w, -h), (w, h)], COLOURS[0].filled());
            EmptyElement::at((ms * t as f64, f64::from(unit))) + bar
        });
        chart.draw_series(bars)?;
        Ok(())
    }
}

/// Grey pictures side by side.
pub(crate) struct Tiles<'a> {
    pub(crate) title: &'a str,
    /// Rows and columns of each.
    pub(crate) shape: (usize, usize),
    /// Pictures in a row.
    pub(crate) columns: usize,
    pub(crate) pictures: &'a [Vec<f64>],
}

impl Picture for Tiles<'_> {
    fn draw<B: DrawingBackend>(&self, area: &DrawingArea<B, Shift>, k: u32) -> Drawn<B> {
        area.fill(&WHITE)?;
        let page = area.margin(14 * k, 14 * k, 14 * k, 14 * k).titled(self.title, ("sans-serif", 20 * k).into_font().color(&INK))?;
        let ((height, width), columns) = (self.shape, self.columns.max(1));
        let rows = self.pictures.len().div_ceil(columns).max(1);
        // A picture has a border of one pixel of its own.
        let (wide, high) = page.dim_in_pixel();
        let pixel = (wide as usize / (columns * (width + 1)).max(1)).min(high as usize / (rows * (height + 1)).max(1)).max(1);
        for (n, picture) in self.pictures.iter().enumerate() {
            let (left, top) = (n % columns * (width + 1) * pixel, n / columns * (height + 1) * pixel);
            for (i, &x) in picture.iter().enumerate().take(width * height) {
                let (x0, y0) = (left + i % width * pixel, top + i / width * pixel);
                let grey = (245.0 - 235.0 * x.clamp(0.0, 1.0)) as u8;
                let corners = [(x0 as i32, y0 as i32), ((x0 + pixel) as i32, (y0 + pixel) as i32)];
                page.draw(&Rectangle::new(corners, RGBColor(grey, grey, grey).filled()))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(picture: &impl Picture) -> (String, Vec<u8>) {
        let dir = tempfile::tempdir().unwrap();
        let (svg, png) = (dir.path().join("x.svg"), dir.path().join("x.png"));
        draw(picture, &svg, &png).unwrap();
        // For a look at what these tests draw.
        if let Some(keep) = std::env::var_os("SNN_KEEP_PLOTS") {
            let name = std::thread::current().name().unwrap_or("plot").replace("::", "-");
            std::fs::copy(&png, Path::new(&keep).join(&name).with_extension("png")).unwrap();
            std::fs::copy(&svg, Path::new(&keep).join(&name).with_extension("svg")).unwrap();
        }
        (std::fs::read_to_string(svg).unwrap(), std::fs::read(png).unwrap())
    }

    fn curve<'a>(lines: &'a [(&'a str, &'a [(f64, f64)])], axes: Axes) -> Curve<'a> {
        Curve { title: "Learning curve", x_label: "epoch", y_label: "test accuracy (%)", lines, axes }
    }

    #[test]
    fn a_learning_curve() {
        let line = |top: f64| (0..60).map(|e| (f64::from(e), top * (1.0 - (-f64::from(e) / 9.0).exp()))).collect::<Vec<_>>();
        let (sparse, dense) = (line(86.3), line(85.1));
        let (svg, png) = check(&curve(&[("sparse", &sparse), ("dense", &dense)], Axes::default()));
        for text in ["Learning curve", "epoch", "test accuracy (%)", "sparse", "dense"] {
            assert!(svg.contains(text), "no \"{text}\" in the SVG");
        }
        assert!(png.starts_with(b"\x89PNG"));
    }

    #[test]
    fn a_window_sweep() {
        let windows: Vec<(f64, f64)> =
            [0.001, 0.003, 0.01, 0.05, 0.1, 0.25].iter().map(|&w: &f64| (w, 74.0 * (1.0 - 0.002 / w).max(0.1))).collect();
        let active: Vec<(f64, f64)> = windows.iter().map(|&(w, _)| (w, 14.0 * w)).collect();
        let axes = Axes { log_x: true, dots: true, ..Axes::default() };
        let (svg, _) = check(&curve(&[("accuracy", &windows), ("active ≤ 3.5 % (×)", &active)], axes));
        assert!(svg.matches("<circle").count() >= 12 && svg.contains("active ≤ 3.5 % (×)"), "a dot for each point, and who they are");
    }

    #[test]
    fn odd_data_is_drawn_without_complaint() {
        let odd = [(0.0, f64::NAN), (1.0, 2.0), (f64::INFINITY, 1.0), (-1.0, 3.0), (1e300, -1e300)];
        for (log_x, log_y) in [(false, false), (true, true)] {
            let axes = Axes { log_x, log_y, x: Some((2.0, 1.0)), ..Axes::default() };
            let (svg, _) = check(&curve(&[("", &odd), ("none", &[]), ("one", &[(1.0, 1.0)])], axes));
            assert!(!svg.contains("NaN") && !svg.contains("inf"), "what is no number is not drawn");
        }
        check(&curve(&[], Axes::default()));
    }

    #[test]
    fn small_pictures() {
        check(&Tiles { title: "None", shape: (0, 0), columns: 0, pictures: &[] });
        let pictures: Vec<Vec<f64>> = (0..7).map(|n| (0..64).map(|i| f64::from(i * n % 9) / 8.0).collect()).collect();
        let (svg, png) = check(&Tiles { title: "Seven", shape: (8, 8), columns: 4, pictures: &pictures });
        assert!(svg.matches("<rect").count() > 7 * 64 && svg.contains("Seven") && png.starts_with(b"\x89PNG"));
    }

    #[test]
    fn a_raster() {
        check(&Spikes { title: "Nobody", dt: 1e-3, spikes: &Raster::default() });
        let mut spikes = Raster::new(200, 100);
        spikes.fill((0..100u32).flat_map(|t| (0..200u32).filter(move |u| (t * 7919 + u * 104_729) % 53 == 0).map(move |u| (t, u))));
        let (svg, _) = check(&Spikes { title: "Spikes of the second hidden layer", dt: 1e-3, spikes: &spikes });
        assert!(svg.matches("<rect").count() >= spikes.len());
    }
}
