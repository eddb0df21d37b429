//! JSON text, indented without being understood: escapes and numbers stay as the engine sent them.

/// Indents JSON text with `unit` per level, as Go's `json.Indent` does.
pub fn indent(text: &str, prefix: &str, unit: &str) -> String {
    let mut out = String::with_capacity(text.len() * 2);
    let mut depth = 0_usize;
    let mut in_string = false;
    let mut escaped = false;
    let mut pending_open = false;
    for c in text.trim().chars() {
        if in_string {
            out.push(c);
            in_string = escaped || c != '"';
            escaped = !escaped && c == '\\';
            continue;
        }
        if c.is_ascii_whitespace() {
            continue;
        }
        let closes = matches!(c, '}' | ']');
        if pending_open && !closes {
            newline(&mut out, prefix, unit, depth);
        }
        match c {
            '{' | '[' => {
                out.push(c);
                depth += 1;
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                if !pending_open {
                    newline(&mut out, prefix, unit, depth);
                }
                out.push(c);
            }
            ',' => {
                out.push(c);
                newline(&mut out, prefix, unit, depth);
            }
            ':' => out.push_str(": "),
            '"' => {
                in_string = true;
                out.push(c);
            }
            c => out.push(c),
        }
        pending_open = matches!(c, '{' | '[');
    }
    out
}

fn newline(out: &mut String, prefix: &str, unit: &str, depth: usize) {
    out.push('\n');
    out.push_str(prefix);
    for _ in 0..depth {
        out.push_str(unit);
    }
}

/// Escapes `<`, `>` and `&` in JSON text as Go's encoder does by default.
pub fn escape_html(text: &str) -> String {
    text.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indents_like_go() {
        assert_eq!(
            indent(r#"{"a":[],"b":{},"c":[1,{"d":"x\"}{"}],"e":"\u003c"}"#, "", "    "),
            "{\n    \"a\": [],\n    \"b\": {},\n    \"c\": [\n        1,\n        {\n            \"d\": \"x\\\"}{\"\n        }\n    ],\n    \"e\": \"\\u003c\"\n}"
        );
    }
}
