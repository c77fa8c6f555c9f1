"use strict";

(() => {
  const study = JSON.parse(document.getElementById("data").textContent);
  const place = document.getElementById("study");
  const asked = new URLSearchParams(window.location.search);
  // Long enough for the second click of a double click, which is meant for the screen before.
  const CLOSED_MS = 300;

  const escaped = (text) => text.replace(/[&<>"']/g, (sign) => `&#${sign.charCodeAt(0)};`);
  const texts = (places) => places.map((one) => study.texts[one]);

  // ---- who takes part

  const random = (below) => {
    const limit = Math.floor(2 ** 32 / below) * below;
    const drawn = new Uint32Array(1);
    do crypto.getRandomValues(drawn);
    while (drawn[0] >= limit);
    return drawn[0] % below;
  };

  const newSession = () =>
    Array.from(crypto.getRandomValues(new Uint8Array(6)), (byte) => byte.toString(16).padStart(2, "0")).join("");

  class Refused extends Error {}

  const who = () => {
    const session = asked.get("session") ?? newSession();
    if (!/^[\w.-]{1,64}$/.test(session))
      throw new Refused("The address of this page has a session that it cannot use: up to 64 letters, digits, _ . and -.");
    const wanted = asked.get("participant");
    if (study.participants.length === 0) {
      if (wanted !== null) throw new Refused("The address of this page names a participant, but this study has none.");
      return { session, participant: session, seed: session, trials: study.trials.map((_, number) => number) };
    }
    const found =
      wanted === null
        ? study.participants[random(study.participants.length)]
        : study.participants.find(([name]) => name === wanted);
    if (found === undefined)
      throw new Refused(`The address of this page names the participant ${wanted}, whom this study does not have.`);
    return { session, participant: `${found[0]}-${session}`, seed: found[0], trials: found[1] };
  };

  // ---- screens

  const paragraph = (text, fresh) => `<p${fresh ? ' class="fresh"' : ""}>${escaped(text)}</p>`;

  // A question's text. What the question before had already is known; `before` is null for the first question.
  const prompt = (question, before) => {
    const known = before === null ? null : new Set(before.turns.flatMap(([, parts]) => parts));
    const turns = question.turns.map(([role, parts]) => {
      const inner = parts.map((one) => paragraph(study.texts[one], known !== null && !known.has(one))).join("");
      const label = role === "assistant" ? '<span class="who">Answer</span>' : "";
      return `<div class="turn ${role}">${label}${inner}</div>`;
    });
    return `<div class="prompt" tabindex="-1">${turns.join("")}</div>`;
  };

  // A new screen begins at its top, and the keyboard and a screen reader begin there too.
  const begin = () => {
    window.scrollTo(0, 0);
    document.querySelector(".prompt, .page")?.focus({ preventScroll: true });
  };

  const button = (text) => `<button type="button" class="choice">${text}</button>`;

  const page = (html, choices, more) => ({
    type: jsPsychHtmlButtonResponse,
    stimulus: `<div class="page" tabindex="-1">${html}</div>`,
    choices,
    button_html: button,
    button_layout: "flex",
    on_load: () => {
      document.body.dataset.buttons = "page";
      begin();
    },
    ...more,
  });

  // Short options stand side by side, longer ones below each other.
  const layout = (options) => {
    const longest = Math.max(...options.map(([, text]) => text.length));
    return longest <= 6 ? "row" : "column";
  };

  const screen = (jsPsych, question, before, record) => {
    if (question.options === undefined)
      return {
        type: jsPsychSurveyText,
        preamble: prompt(question, before),
        questions: [{ prompt: '<label for="input-0">Your answer</label>', name: "answer", rows: 3, required: true }],
        on_load: () => {
          document.body.dataset.buttons = "text";
          window.scrollTo(0, 0);
          const field = document.getElementById("input-0");
          const check = () => field.setCustomValidity(field.value.trim() === "" ? "Write an answer." : "");
          field.addEventListener("input", check);
          check();
        },
        on_finish: (data) => record(data, data.response.answer, ""),
      };
    const options = study.options[question.options];
    return {
      type: jsPsychHtmlButtonResponse,
      stimulus: prompt(question, before),
      choices: options.map(([, text]) => escaped(text)),
      button_html: button,
      button_layout: "flex",
      enable_button_after: CLOSED_MS,
      on_load: () => {
        document.body.dataset.buttons = layout(options);
        begin();
      },
      on_finish: (data) =>
        record(data, options[data.response][0], JSON.stringify(options.map(([name]) => name))),
    };
  };

  const instructions = (questions) => {
    const several = questions.some((one) => one.before !== null);
    const text = questions.some((one) => one.question.options === undefined);
    const buttons = questions.some((one) => one.question.options !== undefined);
    const count = questions.length === 1 ? "one question" : `${questions.length} questions, one at a time`;
    const how = [
      buttons ? "choose one of the answers below it" : null,
      text ? "write your answer" : null,
    ].filter((one) => one !== null);
    return [
      "<h1>Instructions</h1>",
      ...texts(study.system).map((one) => paragraph(one, false)),
      `<p>You will get ${count}. Read the text, then ${how.join(", or ")}. You cannot go back.</p>`,
      several
        ? '<p>Several questions may follow about the same text.</p><p class="fresh">What is new has a line at its left, like this.</p>'
        : "",
    ].join("");
  };

  // ---- data

  const cell = (value) => {
    const text = String(value);
    return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };

  const csv = (rows) => {
    const header = [...study.columns, ...study.list_columns];
    return [header, ...rows].map((row) => `${row.map(cell).join(",")}\n`).join("");
  };

  const element = (kind, text, attributes) => {
    const made = document.createElement(kind);
    made.textContent = text;
    for (const [name, value] of Object.entries(attributes ?? {})) made.setAttribute(name, value);
    return made;
  };

  const alone = (...elements) => {
    document.body.dataset.buttons = "page";
    const box = element("div", "", { class: "page end", tabindex: "-1" });
    box.append(...elements);
    place.replaceChildren(box);
    window.scrollTo(0, 0);
    box.focus({ preventScroll: true });
  };

  const send = async (text) => {
    try {
      const headers = { "Content-Type": "text/csv; charset=utf-8" };
      const answer = await fetch(study.post, { method: "POST", headers, body: text });
      return answer.ok;
    } catch {
      return false;
    }
  };

  const stay = (event) => event.preventDefault();

  const finish = async (rows, person) => {
    const text = csv(rows);
    const link = element("a", "Download your answers", {
      class: "choice",
      download: `${study.experiment}_${person.participant.replace(/[^\w.-]+/g, "-")}.csv`,
      href: URL.createObjectURL(new Blob([text], { type: "text/csv;charset=utf-8" })),
    });
    link.addEventListener("click", () => window.removeEventListener("beforeunload", stay));
    const thanks = element("h1", "Thank you");
    if (study.post === null) {
      alone(
        thanks,
        element("p", "You have answered all questions. Your answers are still only on this device."),
        element("p", "Download the file and send it to the researcher."),
        link,
      );
      return;
    }
    alone(thanks, element("p", "Your answers are being sent. Please do not close this page yet.", { role: "status" }));
    if (await send(text)) {
      window.removeEventListener("beforeunload", stay);
      link.classList.add("second");
      alone(thanks, element("p", "Your answers have been sent. You can close this page.", { role: "status" }), link);
    } else {
      alone(
        thanks,
        element("p", "Your answers could not be sent. Please download the file and send it to the researcher.", {
          role: "alert",
        }),
        link,
      );
    }
  };

  // ---- the study

  const run = async () => {
    const person = who();
    let declined = false;
    let total = 1;
    const rows = [];
    const jsPsych = initJsPsych({
      display_element: place,
      show_progress_bar: true,
      auto_update_progress_bar: false,
      message_progress_bar: (share) => `${Math.round(share * total)} of ${total}`,
    });
    jsPsych.randomization.setSeed(`${study.study_sha256}/${person.seed}`);
    const shown = jsPsych.randomization.shuffle(person.trials).map((number) => study.trials[number]);
    const questions = shown.flatMap((trial, at) =>
      trial.questions.map((question, number) => ({
        trial,
        at,
        question,
        before: number === 0 ? null : trial.questions[number - 1],
      })),
    );
    total = questions.length;
    const record = (one) => (data, answer, options) => {
      if (rows.length === 0) window.addEventListener("beforeunload", stay);
      const own = {
        participant: person.participant,
        session: person.session,
        study: study.study,
        experiment: study.experiment,
        study_sha256: study.study_sha256,
        trial_index: one.at + 1,
        trial_id: one.trial.id,
        question: one.question.name,
        answer,
        option_order: options,
        rt_ms: data.rt,
      };
      Object.assign(data, own);
      rows.push([...study.columns.map((name) => own[name]), ...texts(one.trial.cells)]);
      jsPsych.progressBar.progress = rows.length / total;
    };
    const consent = page(
      document.getElementById("consent").innerHTML,
      ["I agree and want to take part", "I do not agree"],
      {
        on_finish: (data) => {
          if (data.response === 1) {
            declined = true;
            jsPsych.abortExperiment("");
          }
        },
      },
    );
    await jsPsych.run([
      consent,
      page(instructions(questions), ["Begin"]),
      ...questions.map((one) => screen(jsPsych, one.question, one.before, record(one))),
    ]);
    if (declined)
      alone(element("h1", "You do not take part"), element("p", "Nothing was recorded. You can close this page."));
    else await finish(rows, person);
  };

  run().catch((error) => {
    alone(
      element("h1", "This page cannot begin"),
      element("p", error instanceof Refused ? `${error.message} Please tell the researcher.` : String(error), { role: "alert" }),
    );
    if (!(error instanceof Refused)) throw error;
  });
})();
