//! A headless Chromium, asked over the DevTools protocol through a pair of pipes.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use serde_json::{Value, json};

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// A browser with one page.
pub(crate) struct Chromium {
    child: Child,
    to: ChildStdin,
    from: Receiver<Value>,
    next: u64,
    session: Option<String>,
    /// What the page said without being asked.
    pub(crate) events: Vec<Value>,
    _profile: tempfile::TempDir,
}

impl Chromium {
    pub(crate) fn start() -> Self {
        let profile = tempfile::tempdir().unwrap();
        // Chromium reads commands from the descriptor 3 and writes answers to 4. As root it has no sandbox; the pages
        // are our own.
        let flags = "--headless --no-sandbox --disable-gpu --no-first-run --disable-extensions --hide-scrollbars \
                     --disable-background-networking --disable-dev-shm-usage --force-color-profile=srgb";
        let script = format!("exec chromium {flags} --user-data-dir=\"$0\" --remote-debugging-pipe 3<&0 4>&1 1>&2");
        let mut child = Command::new("sh")
            .arg("-c")
            .arg(script)
            .arg(profile.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let to = child.stdin.take().unwrap();
        let mut answers = BufReader::new(child.stdout.take().unwrap());
        let (sender, from) = channel();
        std::thread::spawn(move || {
            let mut message = Vec::new();
            while answers.read_until(0, &mut message).is_ok_and(|n| n > 0) {
                message.pop();
                let Ok(value) = serde_json::from_slice(&message) else { break };
                if sender.send(value).is_err() {
                    break;
                }
                message.clear();
            }
        });
        let (next, session, events) = (0, None, Vec::new());
        let mut browser = Self { child, to, from, next, session, events, _profile: profile };
        let target = browser.ask("Target.createTarget", &json!({ "url": "about:blank" }))["targetId"].clone();
        let attached = browser.ask("Target.attachToTarget", &json!({ "targetId": target, "flatten": true }));
        browser.session = Some(attached["sessionId"].as_str().unwrap().to_owned());
        for domain in ["Page", "Runtime", "Log", "Network", "Accessibility", "DOM"] {
            browser.ask(&format!("{domain}.enable"), &json!({}));
        }
        browser
    }

    /// Calls a method of the protocol.
    pub(crate) fn ask(&mut self, method: &str, parameters: &Value) -> Value {
        self.next += 1;
        let id = self.next;
        let mut call = json!({ "id": id, "method": method, "params": parameters });
        if let Some(session) = &self.session {
            call["sessionId"] = session.as_str().into();
        }
        let sent = self.to.write_all(format!("{call}\0").as_bytes()).and_then(|()| self.to.flush());
        assert!(sent.is_ok(), "chromium does not run: install Debian's package `chromium` (Ubuntu's is a snap)");
        loop {
            let message = self.message();
            if message["id"] == id {
                assert!(message["error"].is_null(), "{method}: {}", message["error"]);
                return message["result"].clone();
            }
            self.events.push(message);
        }
    }

    fn message(&mut self) -> Value {
        let message = self.from.recv_timeout(PATIENCE);
        message.expect("chromium does not answer: is Debian's package `chromium` there (Ubuntu's is a snap)?")
    }

    /// Waits for an event of this name that was not seen yet.
    pub(crate) fn wait(&mut self, method: &str) {
        let mut seen = 0;
        loop {
            while seen < self.events.len() {
                if self.events[seen]["method"] == method {
                    return;
                }
                seen += 1;
            }
            let message = self.message();
            self.events.push(message);
        }
    }

    /// Opens a file, and waits until it is loaded; how many milliseconds that took by the page's own clock.
    pub(crate) fn open(&mut self, file: &Path) -> f64 {
        self.events.retain(|event| event["method"] != "Page.loadEventFired");
        self.ask("Page.navigate", &json!({ "url": format!("file://{}", file.display()) }));
        self.wait("Page.loadEventFired");
        // Once more, when everything is painted.
        self.run("new Promise((done) => requestAnimationFrame(() => setTimeout(() => done(performance.now()))))")
            .as_f64()
            .unwrap()
    }

    /// The value of an expression in the page.
    pub(crate) fn run(&mut self, expression: &str) -> Value {
        let parameters = json!({ "expression": expression, "awaitPromise": true, "returnByValue": true });
        let result = self.ask("Runtime.evaluate", &parameters);
        assert!(result["exceptionDetails"].is_null(), "{expression}: {}", result["exceptionDetails"]);
        result["result"]["value"].clone()
    }

    /// Waits until this holds in the page.
    pub(crate) fn until(&mut self, condition: &str) {
        let mut tries = 0;
        while self.run(condition) != true {
            tries += 1;
            assert!(tries < 500, "does not come: {condition}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Presses the middle of the first element that this selector finds, as a mouse would.
    pub(crate) fn click(&mut self, selector: &str) {
        let place = self.run(&format!(
            "(() => {{ const e = document.querySelector({selector:?}); e.scrollIntoView({{ block: 'center', behavior: \
             'instant' }}); const b = e.getClientRects()[0]; return [b.x + b.width / 2, b.y + b.height / 2]; }})()"
        ));
        let (x, y) = (&place[0], &place[1]);
        for kind in ["mousePressed", "mouseReleased"] {
            let button = json!({ "type": kind, "x": x, "y": y, "button": "left", "clickCount": 1 });
            self.ask("Input.dispatchMouseEvent", &button);
        }
    }

    /// Presses a key.
    pub(crate) fn key(&mut self, key: &str, code: u32) {
        let text = if key == "Enter" { "\r" } else { "" };
        for kind in ["keyDown", "keyUp"] {
            let mut press = json!({ "type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code });
            if kind == "keyDown" && !text.is_empty() {
                press["text"] = text.into();
            }
            self.ask("Input.dispatchKeyEvent", &press);
        }
    }

    /// A picture of what is seen, or of the whole page.
    pub(crate) fn picture(&mut self, name: &str, whole: bool) -> PathBuf {
        let shot = self.ask("Page.captureScreenshot", &json!({ "captureBeyondViewport": whole }));
        keep(name, shot["data"].as_str().unwrap())
    }

    /// The pages as they are printed.
    pub(crate) fn print(&mut self, name: &str) -> PathBuf {
        let paper = json!({ "printBackground": true, "paperWidth": 8.27, "paperHeight": 11.69 });
        let printed = self.ask("Page.printToPDF", &paper);
        keep(name, printed["data"].as_str().unwrap())
    }
}

/// Where pictures are kept for people to look at.
fn keep(name: &str, base64: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("report");
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join(name);
    std::fs::write(&file, decoded(base64)).unwrap();
    file
}

fn decoded(base64: &str) -> Vec<u8> {
    let digit = |byte: u8| match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    };
    let digits: Vec<u8> = base64.bytes().filter_map(digit).collect();
    let bytes = digits.chunks(4).flat_map(|chunk| {
        let bits = chunk.iter().fold(0u32, |bits, &digit| bits << 6 | u32::from(digit)) << (6 * (4 - chunk.len()));
        bits.to_be_bytes()[1..chunk.len()].to_vec()
    });
    bytes.collect()
}

impl Drop for Chromium {
    fn drop(&mut self) {
        // It may have ended already.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
