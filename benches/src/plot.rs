//! A line chart with logarithmic axes as SVG: all that docs/benchmarks.md needs, so no drawing library.

/// One line of the chart.
pub struct Series {
    pub name: &'static str,
    pub colour: &'static str,
    pub points: Vec<(f64, f64)>,
}

pub struct Chart {
    pub title: &'static str,
    pub x: &'static str,
    pub y: &'static str,
    pub series: Vec<Series>,
}

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 420.0;
const LEFT: f64 = 84.0;
const RIGHT: f64 = 24.0;
const TOP: f64 = 48.0;
const BOTTOM: f64 = 88.0;
const LEGEND_STEP: f64 = 240.0;

/// Decades that hold all values.
fn decades(values: impl Iterator<Item = f64>) -> (i32, i32) {
    let logs: Vec<f64> = values.filter(|value| *value > 0.0).map(f64::log10).collect();
    let low = logs.iter().copied().fold(f64::INFINITY, f64::min);
    let high = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if !low.is_finite() {
        return (0, 1);
    }
    let (low, high) = (low.floor() as i32, high.ceil() as i32);
    (low, high.max(low + 1))
}

impl Chart {
    pub fn to_svg(&self) -> String {
        let points = || self.series.iter().flat_map(|series| &series.points);
        let (x_low, x_high) = decades(points().map(|(x, _)| *x));
        let (y_low, y_high) = decades(points().map(|(_, y)| *y));
        let scale =
            |value: f64, low: i32, high: i32| (value.log10() - f64::from(low)) / f64::from(high - low);
        let x_at = |x: f64| LEFT + scale(x, x_low, x_high) * (WIDTH - LEFT - RIGHT);
        let y_at = |y: f64| HEIGHT - BOTTOM - scale(y, y_low, y_high) * (HEIGHT - TOP - BOTTOM);
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" \
             font-size=\"13\">\n<rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"#fff\"/>\n"
        );
        svg += &text(WIDTH / 2.0, 26.0, "middle", 16, self.title);
        for decade in y_low..=y_high {
            let y = y_at(10_f64.powi(decade));
            svg += &line((LEFT, y), (WIDTH - RIGHT, y), "#ddd");
            svg += &text(LEFT - 8.0, y + 4.0, "end", 13, &grouped(10_f64.powi(decade)));
        }
        for decade in x_low..=x_high {
            let x = x_at(10_f64.powi(decade));
            svg += &line((x, TOP), (x, HEIGHT - BOTTOM), "#ddd");
            svg += &text(x, HEIGHT - BOTTOM + 18.0, "middle", 13, &grouped(10_f64.powi(decade)));
        }
        svg += &text((LEFT + WIDTH - RIGHT) / 2.0, HEIGHT - BOTTOM + 40.0, "middle", 13, self.x);
        svg += &format!(
            "<text transform=\"translate(18 {}) rotate(-90)\" text-anchor=\"middle\">{}</text>\n",
            (TOP + HEIGHT - BOTTOM) / 2.0,
            escaped(self.y)
        );
        for (index, series) in self.series.iter().enumerate() {
            // The last line's numbers go below it, where they do not cover those of its neighbour.
            let is_last = index > 0 && index + 1 == self.series.len();
            svg += &series.to_svg(&x_at, &y_at, if is_last { 18.0 } else { -10.0 });
            let x = 36.0 + LEGEND_STEP * index as f64;
            let y = HEIGHT - 18.0;
            svg += &format!(
                "<rect x=\"{x}\" y=\"{}\" width=\"18\" height=\"4\" fill=\"{}\"/>\n",
                y - 6.0,
                series.colour
            );
            svg += &text(x + 26.0, y, "start", 13, series.name);
        }
        svg + "</svg>\n"
    }
}

impl Series {
    fn to_svg(&self, x_at: &dyn Fn(f64) -> f64, y_at: &dyn Fn(f64) -> f64, label: f64) -> String {
        let places: Vec<(f64, f64, f64)> =
            self.points.iter().map(|(x, y)| (x_at(*x), y_at(*y), *y)).collect();
        let path: Vec<String> = places.iter().map(|(x, y, _)| format!("{x:.1},{y:.1}")).collect();
        let colour = self.colour;
        let mut svg = format!(
            "<polyline fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\" points=\"{}\"/>\n",
            path.join(" ")
        );
        for (x, y, value) in places {
            svg += &format!("<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4\" fill=\"{colour}\"/>\n");
            svg += &text(x, y + label, "middle", 11, &grouped(value));
        }
        svg
    }
}

fn line(from: (f64, f64), to: (f64, f64), colour: &str) -> String {
    let ((x1, y1), (x2, y2)) = (from, to);
    format!("<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" stroke=\"{colour}\"/>\n")
}

fn text(x: f64, y: f64, anchor: &str, size: u32, text: &str) -> String {
    let text = escaped(text);
    format!("<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" font-size=\"{size}\">{text}</text>\n")
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

/// `12,345`; small numbers keep a digit behind the point.
pub fn grouped(value: f64) -> String {
    if value < 10.0 && value.fract() != 0.0 {
        return format!("{value:.1}");
    }
    let digits = format!("{value:.0}");
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        assert_eq!([0.5, 7.0, 12_345.4, 1_000_000.0].map(grouped), ["0.5", "7", "12,345", "1,000,000"]);
    }

    #[test]
    fn a_chart_holds_its_points() {
        let points = vec![(1.0, 10.0), (100.0, 1000.0)];
        let series = vec![Series { name: "a < b", colour: "#06c", points }];
        let svg = Chart { title: "t", x: "x", y: "y", series }.to_svg();
        assert!(svg.contains("a &lt; b") && svg.matches("<circle").count() == 2, "{svg}");
        assert!(svg.contains("cx=\"84.0\" cy=\"332.0\""), "the smallest point is in the corner: {svg}");
    }

    #[test]
    fn an_empty_chart_is_still_one() {
        assert!(Chart { title: "t", x: "x", y: "y", series: Vec::new() }.to_svg().ends_with("</svg>\n"));
    }
}
