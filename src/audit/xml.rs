//! Writes XML on one line: names are ours, values are anybody's and are escaped.

use std::fmt::Write;

/// A document under construction.
#[derive(Debug)]
pub(super) struct Xml {
    text: String,
    open: Vec<&'static str>,
    /// The start tag of the last element has no `>` yet.
    in_tag: bool,
}

impl Xml {
    pub(super) fn new() -> Self {
        Self { text: r#"<?xml version="1.0" encoding="UTF-8"?>"#.to_owned(), open: Vec::new(), in_tag: false }
    }

    /// Begins an element; attributes follow.
    pub(super) fn begin(&mut self, name: &'static str) -> &mut Self {
        self.close_tag();
        self.text.push('<');
        self.text.push_str(name);
        self.open.push(name);
        self.in_tag = true;
        self
    }

    /// An attribute of the element that was just begun.
    pub(super) fn attribute(&mut self, name: &str, value: &str) -> &mut Self {
        // Writing to a String does not fail.
        let _ = write!(self.text, " {name}=\"{}\"", Escaped(value));
        self
    }

    /// One that may be missing.
    pub(super) fn optional(&mut self, name: &str, value: Option<&str>) -> &mut Self {
        match value {
            Some(value) => self.attribute(name, value),
            None => self,
        }
    }

    /// Text within the element.
    pub(super) fn text(&mut self, value: &str) -> &mut Self {
        self.close_tag();
        let _ = write!(self.text, "{}", Escaped(value));
        self
    }

    /// Ends the element that was begun last.
    pub(super) fn end(&mut self) -> &mut Self {
        if let Some(name) = self.open.pop() {
            if self.in_tag {
                self.text.push_str("/>");
            } else {
                let _ = write!(self.text, "</{name}>");
            }
            self.in_tag = false;
        }
        self
    }

    pub(super) fn finish(mut self) -> String {
        while !self.open.is_empty() {
            self.end();
        }
        self.text
    }

    fn close_tag(&mut self) {
        if self.in_tag {
            self.text.push('>');
            self.in_tag = false;
        }
    }
}

/// A value with everything escaped that would end it, or would not come back as it was.
struct Escaped<'a>(&'a str);

impl std::fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for c in self.0.chars() {
            match c {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                // The last ones would end a line for some readers of the log.
                '\t' | '\n' | '\r' | '\u{7F}'..='\u{9F}' | '\u{2028}' | '\u{2029}' => {
                    write!(f, "&#{};", u32::from(c))?;
                }
                // XML 1.0 2.2: not even escaped is there a way to write these.
                '\0'..=' ' if c != ' ' => f.write_char('\u{FFFD}')?,
                '\u{FFFE}' | '\u{FFFF}' => f.write_char('\u{FFFD}')?,
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

/// The reverse of what [`Xml`] writes for a value.
pub(super) fn unescaped(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    let mut rest = value;
    while let Some(at) = rest.find('&') {
        let (before, from) = rest.split_at(at);
        text.push_str(before);
        let Some(end) = from.find(';') else {
            text.push_str(from);
            return text;
        };
        let (entity, after) = from.split_at(end + 1);
        match entity {
            "&amp;" => text.push('&'),
            "&lt;" => text.push('<'),
            "&gt;" => text.push('>'),
            "&quot;" => text.push('"'),
            other => {
                let number = other.trim_start_matches("&#").trim_end_matches(';').parse().ok();
                text.push(number.and_then(char::from_u32).unwrap_or('\u{FFFD}'));
            }
        }
        rest = after;
    }
    text.push_str(rest);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_cannot_end_what_they_stand_in() {
        let mut xml = Xml::new();
        xml.begin("a").attribute("b", "x\"><c d='\n&amp;\u{1}\0").begin("e").text("</e>\r\u{2028}").end();
        let text = xml.finish();
        assert_eq!(
            text,
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?><a b=\"x&quot;&gt;&lt;c d='&#10;&amp;amp;\u{FFFD}\u{FFFD}\">\
             <e>&lt;/e&gt;&#13;&#8232;</e></a>"
        );
        assert!(!text.contains(['\n', '\t']));
    }

    #[test]
    fn what_is_escaped_comes_back() {
        for value in ["", "Müller & Söhne", "a<b>\"c\"\td\u{85}", "&amp;", "&#10;"] {
            assert_eq!(unescaped(&Escaped(value).to_string()), value);
        }
        assert_eq!(unescaped("a&b"), "a&b");
        assert_eq!(unescaped("&#xffffffff;"), "\u{FFFD}");
    }
}
