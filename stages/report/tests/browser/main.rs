//! The page in a real browser. Pictures of it lie in `report/` of cargo's temporary folder afterwards.
//!
//!     cargo test -p pipe-report --test browser -- --ignored

use std::path::PathBuf;

use chromium::Chromium;
use pipe_report::{Failure, html};
use serde_json::{Value, json};
use study::{Size, study};

mod chromium;
#[path = "../study/mod.rs"]
#[expect(dead_code, reason = "a run that fails is looked at in the other tests")]
mod study;

const FOUR: Size = Size { arms: 4, draws: 5, items: 660 };

/// A page in a file of its own.
fn page(name: &str, report: &pipe_report::Report) -> PathBuf {
    let file = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&file, html(report).unwrap()).unwrap();
    file
}

/// A browser that shows the study.
fn shown(name: &str, size: Size) -> Chromium {
    let mut browser = Chromium::start();
    browser.open(&page(name, &study(size)));
    browser
}

/// What went wrong on the page, and what it asked of the network.
fn complaints(browser: &Chromium) -> Vec<String> {
    let says = |event: &Value| match event["method"].as_str()? {
        "Runtime.exceptionThrown" | "Log.entryAdded" | "Runtime.consoleAPICalled" => Some(event["params"].to_string()),
        "Network.requestWillBeSent" => {
            let url = event["params"]["request"]["url"].as_str()?;
            let own = ["file://", "data:", "blob:"].iter().any(|scheme| url.starts_with(scheme));
            (!own).then(|| format!("asked for {url}"))
        }
        _ => None,
    };
    browser.events.iter().filter_map(says).collect()
}

#[test]
#[ignore = "runs chromium"]
fn twelve_arms_of_660_items_load_in_less_than_a_second() {
    let mut browser = Chromium::start();
    let file = page("twelve.html", &study(Size { arms: 12, draws: 5, items: 660 }));
    // A tree for screen readers is made only where one listens.
    browser.ask("Accessibility.disable", &json!({}));
    browser.ask("Performance.enable", &json!({}));
    // Seconds by the page's clock, and of its thread's work. Other programs may run beside, so that the latter counts.
    let loads: Vec<(f64, f64)> = (0..3)
        .map(|_| {
            let clock = browser.open(&file) / 1000.0;
            let metrics = browser.ask("Performance.getMetrics", &json!({}));
            let metric = metrics["metrics"].as_array().unwrap().iter().find(|metric| metric["name"] == "ThreadTime");
            (clock, metric.unwrap()["value"].as_f64().unwrap())
        })
        .collect();
    assert!(loads.iter().all(|&(_, thread)| thread > 0.05 && thread < 1.0), "seconds: {loads:?}");
    assert_eq!(complaints(&browser), [""; 0]);
}

#[test]
#[ignore = "runs chromium"]
fn every_plot_is_there_with_its_words() {
    let mut browser = shown("four.html", FOUR);
    browser.run("for (const details of document.querySelectorAll('details')) details.open = true");
    let plots = browser.run(
        "[...document.querySelectorAll('svg')].map((svg) => [svg.getAttribute('class'), \
         svg.getAttribute('aria-label'), svg.getBoundingClientRect().width])",
    );
    let plots = plots.as_array().unwrap();
    for kind in ["forest", "lines", "heat", "bars", "sharing"] {
        assert!(plots.iter().any(|plot| plot[0] == kind), "{kind}");
    }
    for plot in plots {
        assert!(plot[1].as_str().unwrap().len() > 20 && plot[2].as_f64().unwrap() > 200.0, "{plot}");
    }
    // What a screen reader is given: an image with these words for every plot, and a name for all that is operated.
    let tree = browser.ask("Accessibility.getFullAXTree", &json!({}));
    let nodes = tree["nodes"].as_array().unwrap();
    let role = |node: &Value| node["role"]["value"].as_str().unwrap_or_default().to_owned();
    let name = |node: &Value| node["name"]["value"].as_str().unwrap_or_default().to_owned();
    let images: Vec<&Value> = nodes.iter().filter(|node| ["image", "img"].contains(&role(node).as_str())).collect();
    assert_eq!(images.len(), plots.len());
    for node in nodes.iter().filter(|node| node["ignored"] == false) {
        if ["image", "img", "button", "link", "searchbox", "combobox", "table", "region"].contains(&role(node).as_str())
        {
            assert!(!name(node).is_empty(), "without a name: {node}");
        }
    }
    // Headings leave no level out.
    let levels = browser.run("[...document.querySelectorAll('h1,h2,h3,h4,h5')].map((h) => Number(h.tagName[1]))");
    let levels: Vec<i64> = levels.as_array().unwrap().iter().filter_map(Value::as_i64).collect();
    assert_eq!(levels.iter().filter(|&&level| level == 1).count(), 1);
    assert!(levels.windows(2).all(|pair| pair[1] <= pair[0] + 1), "{levels:?}");
    assert_eq!(complaints(&browser), [""; 0]);
}

#[test]
#[ignore = "runs chromium"]
fn tables_sort_and_filter() {
    let mut browser = shown("tables.html", FOUR);
    let at = browser.run(
        "[...document.querySelectorAll('#tasks-table-0 thead th')].findIndex((th) => th.textContent === 'Difference')",
    );
    let at = at.as_u64().unwrap();
    let head = &format!("#tasks-table-0 thead th:nth-child({})", at + 1);
    let column = &format!(
        "[...document.querySelectorAll('#tasks-table-0 tbody tr')].filter((row) => !row.hidden)\
         .map((row) => Number(row.cells[{at}].dataset.sort))"
    );
    let numbers = |browser: &mut Chromium| -> Vec<f64> {
        browser.run(column).as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect()
    };
    let all = numbers(&mut browser).len();
    for (order, up) in [("ascending", true), ("descending", false)] {
        browser.click(&format!("{head} button"));
        assert_eq!(browser.run(&format!("document.querySelector({head:?}).getAttribute('aria-sort')")), order);
        let numbers = numbers(&mut browser);
        assert!(numbers.windows(2).all(|pair| if up { pair[0] <= pair[1] } else { pair[0] >= pair[1] }), "{numbers:?}");
    }
    // With the keyboard alone.
    browser.run(&format!("document.querySelector('{head} button').focus()"));
    browser.key("Enter", 13);
    assert_eq!(browser.run(&format!("document.querySelector({head:?}).getAttribute('aria-sort')")), "ascending");
    // By a task, then by a word.
    let choose = "(() => { const select = [...document.querySelectorAll('[data-controls=\"tasks-table-0\"] label')]\
         .find((label) => label.textContent.startsWith('Task')).querySelector('select'); select.value = 'summary'; \
         select.dispatchEvent(new Event('change')); })()";
    browser.run(choose);
    let of_task = numbers(&mut browser).len();
    assert!(of_task > 0 && of_task < all, "{of_task} of {all}");
    browser.run("document.querySelector('[data-controls=\"tasks-table-0\"] input').focus()");
    browser.ask("Input.insertText", &json!({ "text": "20000 better" }));
    let found = numbers(&mut browser).len();
    assert!(found > 0 && found < of_task, "{found} of {of_task}");
    let count = browser.run("document.querySelector('[data-controls=\"tasks-table-0\"] [role=status]').textContent");
    assert_eq!(count, format!("{found} of {all} rows"));
    assert_eq!(complaints(&browser), [""; 0]);
}

#[test]
#[ignore = "runs chromium"]
fn samples_filter_and_lead_to_a_seed_in_three_clicks() {
    let mut browser = shown("samples.html", FOUR);
    let count = |browser: &mut Chromium| {
        let words = browser.run("document.querySelector('.samples [role=status]').textContent");
        words.as_str().unwrap().split(' ').next().unwrap().parse::<usize>().unwrap()
    };
    let all = count(&mut browser);
    let choose = |browser: &mut Chromium, place: usize, value: &str| {
        browser.run(&format!(
            "(() => {{ const select = document.querySelectorAll('.samples select')[{place}]; select.value = '{value}'; \
             select.dispatchEvent(new Event('change')); }})()"
        ));
    };
    choose(&mut browser, 0, "regressed");
    let regressed = count(&mut browser);
    assert!(regressed > 0 && regressed < all, "{regressed} of {all}");
    let marked = "[...document.querySelectorAll('.sample')].every((s) => s.querySelector('li.regressed'))";
    assert_eq!(browser.run(marked), true);
    choose(&mut browser, 1, "2");
    let in_arm = count(&mut browser);
    assert!(in_arm > 0 && in_arm < regressed, "{in_arm} of {regressed}");
    choose(&mut browser, 2, "summary");
    assert!(count(&mut browser) < in_arm);
    for place in 0..3 {
        choose(&mut browser, place, "");
    }
    // An answer, a row it was trained on, its seed; Escape ends it where it began.
    let shows = |words: &str| format!("document.querySelector('#row-title')?.textContent.startsWith('{words}')");
    browser.click(".sample .answers a");
    browser.until(&shows("training row"));
    assert_eq!(browser.run("document.querySelector('dialog').open"), true);
    browser.click("dialog li a");
    browser.until(&shows("seed seed-0-"));
    assert_eq!(browser.run("document.activeElement.id"), "row-title");
    browser.picture("seed.png", false);
    browser.run("history.back()");
    browser.until(&shows("training row"));
    browser.key("Escape", 27);
    browser.until("!document.querySelector('dialog').open");
    assert_eq!(browser.run("document.activeElement.closest('.answers') !== null"), true);
    // From every answer that is shown, a seed is three clicks away.
    let far = "store.comparisons[0].samples.flatMap((s) => s.answers).filter((answer) => { \
         let here = answer.resembling; \
         for (let clicks = 1; clicks <= 3; clicks++) { if (here.some((row) => store.rows[row].what === 'seed')) return \
         false; here = here.flatMap((row) => store.rows[row].from.map(([, from]) => from)); } return true; }).length";
    assert_eq!(browser.run(far), 0);
    assert_eq!(complaints(&browser), [""; 0]);
}

#[test]
#[ignore = "runs chromium"]
fn the_map_tells_items_and_opens_their_answers() {
    let mut browser = shown("map.html", FOUR);
    browser.run("document.querySelector('.heat').scrollIntoView({ block: 'center', behavior: 'instant' })");
    let place = browser.run(
        "(() => { const b = document.querySelector('.heat').getBoundingClientRect(); \
         return [b.x + b.width * 0.6, b.y + 14]; })()",
    );
    let move_there = json!({ "type": "mouseMoved", "x": place[0], "y": place[1] });
    browser.ask("Input.dispatchMouseEvent", &move_there);
    let said = browser.run("document.getElementById('status').textContent");
    assert!(said.as_str().unwrap().contains("token_f1: baseline"), "{said}");
    let opened = browser.run(
        "views[0].only(store.comparisons[0].samples[5].id) && \
         document.querySelectorAll('.sample').length",
    );
    assert_eq!(opened, 1);
    assert_eq!(complaints(&browser), [""; 0]);
}

#[test]
#[ignore = "runs chromium"]
fn data_behind_every_plot_can_be_downloaded() {
    let mut browser = shown("data.html", FOUR);
    let without = browser.run(
        "[...document.querySelectorAll('figure')].filter((figure) => \
         !figure.querySelector('[data-download]')).map((figure) => figure.id)",
    );
    assert_eq!(without, json!([]));
    let empty = browser.run(
        "[...document.querySelectorAll('[data-download]')].map((button) => button.dataset.download)\
         .filter((name) => !tables[name]?.rows.length || csv(tables[name]).split('\\r\\n').length < 3)",
    );
    assert_eq!(empty, json!([]));
    let folder = tempfile::tempdir().unwrap();
    let allow = json!({ "behavior": "allow", "downloadPath": folder.path(), "eventsEnabled": true });
    browser.ask("Page.setDownloadBehavior", &allow);
    browser.click("#map-0-0 [data-download]");
    browser.wait("Page.downloadProgress");
    let file = folder.path().join("items-0.csv");
    let text = (0..100).find_map(|_| {
        std::thread::sleep(std::time::Duration::from_millis(50));
        std::fs::read_to_string(&file).ok().filter(|text| text.lines().count() == 661)
    });
    let text = text.expect("660 items below their columns");
    assert!(text.starts_with("\u{feff}id,task,token_f1: baseline,"), "{}", text.lines().next().unwrap());
    assert_eq!(complaints(&browser), [""; 0]);
}

#[test]
#[ignore = "runs chromium"]
fn texts_of_others_do_nothing_in_a_browser() {
    let nasty = "</script><script>window.hurt = 1</script><img src=x onerror=\"window.hurt = 1\">";
    let mut report = study(Size { arms: 3, draws: 2, items: 12 });
    report.title.push_str(nasty);
    report.failures = vec![Failure { stage: nasty.into(), message: nasty.into(), ..Failure::default() }];
    for row in &mut report.rows {
        row.fields.iter_mut().for_each(|(_, text)| text.insert_str(0, nasty));
    }
    for sample in &mut report.comparisons[0].samples {
        sample.instruction.push_str(nasty);
        sample.answers.iter_mut().for_each(|answer| answer.prediction.push_str(nasty));
    }
    let mut browser = Chromium::start();
    browser.open(&page("nasty.html", &report));
    browser.click(".sample .answers a");
    browser.until("document.querySelector('dialog').open");
    assert_eq!(browser.run("[typeof window.hurt, document.querySelectorAll('img').length]"), json!(["undefined", 0]));
    assert_eq!(complaints(&browser), [""; 0]);
    // Even what got into the page as markup would not run.
    browser.run("document.body.insertAdjacentHTML('beforeend', '<img src=\"data:,\" onerror=\"window.hurt = 1\">')");
    browser.run("new Promise((done) => setTimeout(done, 200))");
    assert_eq!(browser.run("typeof window.hurt"), "undefined");
}

#[test]
#[ignore = "runs chromium"]
fn the_page_fits_a_phone_and_has_pictures_in_light_dark_and_print() {
    let mut browser = shown("looks.html", FOUR);
    let size = |width: u32, height: u32| {
        let mobile = width < 500;
        json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": mobile })
    };
    for (name, width, height, scheme) in [
        ("light", 1280, 900, "light"),
        ("dark", 1280, 900, "dark"),
        ("phone", 390, 844, "light"),
        ("phone-dark", 390, 844, "dark"),
    ] {
        browser.ask("Emulation.setDeviceMetricsOverride", &size(width, height));
        let features = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        browser.ask("Emulation.setEmulatedMedia", &features);
        let wide = browser.run("document.documentElement.scrollWidth");
        assert!(wide.as_u64().unwrap() <= u64::from(width), "{name}: {wide} wide");
        browser.picture(&format!("{name}.png"), true);
    }
    // The button outdoes the system, and stays after a reload.
    let paper = "getComputedStyle(document.body).backgroundColor";
    let dark = browser.run(paper);
    browser.click("#theme");
    assert_ne!(browser.run(paper), dark);
    browser.ask("Emulation.setEmulatedMedia", &json!({ "features": [] }));
    browser.print("print.pdf");
    assert_eq!(complaints(&browser), [""; 0]);
}
