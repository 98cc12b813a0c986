#!/usr/bin/env bash
# The steps of action.yml, a plain program: `run.sh gate` runs the cases and decides, `run.sh comment` keeps the comment.
# All it needs comes in environment variables; nothing of a pull request is ever a part of the program.
# Python is isolated (-I), so that it imports no json.py of the project.
set -euo pipefail
((BASH_VERSINFO[0] >= 5)) || { echo "run.sh needs bash 5 or newer: use a runner with Linux." >&2; exit 4; }
: "${GITHUB_OUTPUT:?is not set: run.sh is run by action.yml}"

say() { # LEVEL TEXT: an annotation; what could end it, or begin another, is escaped
  local text=${2//'%'/'%25'}
  text=${text//$'\r'/'%0D'}
  printf '::%s title=llmbench::%s\n' "$1" "${text//$'\n'/'%0A'}"
}

give() { # NAME VALUE: an output of the step; a value of several lines ends at a word that it cannot hold
  local end
  end="end-$RANDOM$RANDOM$RANDOM"
  printf '%s<<%s\n%s\n%s\n' "$1" "$end" "$2" "$end" >>"$GITHUB_OUTPUT"
}

fail() { # TEXT: wrong usage of the action
  say error "$1"
  give status 4
  give verdict none # so that the comment of an earlier push does not stay
  exit 4
}

one_of() { # NAME VALUE ALLOWED...
  local name=$1 value=$2 allowed
  shift 2
  for allowed; do [ "$value" = "$allowed" ] && return; done
  fail "$name is \"$value\"; it must be one of: $*."
}

is_pull_request() { [ -n "${PULL_REQUEST:-}" ]; }

is_fork() { is_pull_request && [ "${HEAD_REPOSITORY:-}" != "$GITHUB_REPOSITORY" ]; }

summarize() { # FILE: at the end of the job's summary
  [ -z "${GITHUB_STEP_SUMMARY:-}" ] || cat "$1" >>"$GITHUB_STEP_SUMMARY"
}

way_out() { # PERMISSION: what lets gh do what it could not
  if ! command -v gh >/dev/null; then
    printf 'the runner has no gh'
  elif [ -z "${GH_TOKEN:-}" ]; then
    printf 'the job needs the permission %s, and GH_TOKEN, which is empty' "$1"
  else
    printf 'the job needs the permission %s' "$1"
  fi
}

# -- the baseline

fetch_artifact() { # NAME FILE: the newest baseline of the default branch; a fork's branch of the same name does not count
  local name=$1 file=$2 id problem
  if [ -z "${DEFAULT_BRANCH:-}" ]; then # the event of a schedule may not name it
    DEFAULT_BRANCH=$(gh api "repos/$GITHUB_REPOSITORY" --jq .default_branch) \
      || fail "The default branch cannot be found; $(way_out "contents: read")."
    export DEFAULT_BRANCH
  fi
  if [ "$LLMBENCH_ACCEPT" = true ] && [ "${GITHUB_REF:-}" != "refs/heads/$DEFAULT_BRANCH" ]; then
    fail "accept: start the workflow on $DEFAULT_BRANCH; a baseline of another branch would never be fetched."
  fi
  # an answer a page: others may have made any number of artifacts of this name since
  id=$(gh api --paginate "repos/$GITHUB_REPOSITORY/actions/artifacts?name=$name&per_page=100" --jq '
    [.artifacts[].workflow_run | select(.head_branch == env.DEFAULT_BRANCH and .head_repository_id == .repository_id)]
    | first | .id // empty') || fail "The list of artifacts cannot be read; $(way_out "actions: read")."
  id=${id%%$'\n'*}
  if [ -z "$id" ]; then
    say warning "There is no baseline yet, so nothing is gated; accept a run on $DEFAULT_BRANCH (accept: true)."
    return 1
  fi
  mkdir -p "$(dirname "$file")"
  if ! gh run download "$id" --repo "$GITHUB_REPOSITORY" --name "$name" --dir "$(dirname "$file")"; then
    problem="The baseline of run $id cannot be fetched (artifacts expire)"
  elif ! python -I -c 'import json, sys; json.load(open(sys.argv[1], "rb"))["llmbench"]' "$file" 2>/dev/null; then
    problem="The artifact $name of run $id holds no run of pytest-llmbench as $(basename "$file")"
  else
    return 0
  fi
  [ "$LLMBENCH_ACCEPT" = true ] || fail "$problem; accept a run again (accept: true, on $DEFAULT_BRANCH), or commit one as baseline.json."
  say warning "$problem, so this run is not gated."
  return 1
}

merge_base() { # print the commit that the pull request is compared with
  local parents=()
  if [ "$(git rev-parse HEAD)" = "${GITHUB_SHA:-}" ]; then
    mapfile -t parents < <(git cat-file commit HEAD | sed -n '/^$/q;s/^parent //p')
  fi
  if [ "${#parents[@]}" -eq 2 ]; then # GitHub's merge is checked out: what the base branch got since is in both
    printf '%s\n' "${parents[0]}"
  else
    gh api "repos/$GITHUB_REPOSITORY/compare/${GITHUB_BASE_REF//\//%2F}...$HEAD_SHA" --jq .merge_base_commit.sha
  fi
}

fetch_commit() { # SHA: with the job's token, which the checkout need not have kept, and which no list of processes shows
  local header key
  header="AUTHORIZATION: basic $(printf 'x-access-token:%s' "${GH_TOKEN:-}" | base64 | tr -d '\n')"
  key="http.${GITHUB_SERVER_URL:-https://github.com}/.extraheader"
  # the empty one takes away what the checkout may have kept: GitHub refuses two
  GIT_CONFIG_COUNT=2 GIT_CONFIG_KEY_0=$key GIT_CONFIG_VALUE_0="" GIT_CONFIG_KEY_1=$key GIT_CONFIG_VALUE_1=$header \
    git fetch --quiet --depth=1 origin "$1"
}

run_base() { # FILE PATHS...: ask the model with the cases and prompts of the merge base
  local file=$1 base tree folder status=0
  shift
  is_pull_request || { say warning "baseline: base needs a pull request; nothing is gated."; return 1; }
  base=$(merge_base) || fail "The merge base of the pull request cannot be found; $(way_out "contents: read")."
  git cat-file -e "$base^{commit}" 2>/dev/null || fetch_commit "$base" || fail "The merge base $base cannot be fetched."
  tree=$(mktemp -d)/base
  git worktree add --quiet --detach "$tree" "$base" || fail "The merge base $base cannot be checked out."
  folder=$tree/$(git rev-parse --show-prefix)
  [ -d "$folder" ] || fail "The merge base $base has no folder ${LLMBENCH_DIRECTORY}; leave baseline out for this pull request."
  # what is equal in both is asked once: the answers are in one store
  ask "$folder" --llm-no-fail "--benchmark-json=$file" --llm-summary=off "${options[@]}" "${whole[@]}" "$@" || status=$?
  git worktree remove --force "$tree"
  [ "$status" -le 1 ] && [ -f "$file" ] || fail "The cases of the merge base $base cannot be run (exit status $status)."
}

# -- the run

ask() { # FOLDER ARGUMENTS...: run pytest there; once more, without the kept answers that this version cannot read
  local folder=$1 status=0
  shift
  run_pytest "$folder" "$@" || status=$?
  if [ "$status" -eq 4 ] && [ -f "$ANSWERS" ] && is_pull_request && [ "$LLMBENCH_CACHE" = true ] \
    && grep -q "answer store" "$OUTPUT"; then
    say warning "The kept answers cannot be read (another version wrote them, or they are damaged), so all are asked anew."
    rm -f "$ANSWERS"*
    status=0
    run_pytest "$folder" "$@" || status=$?
  fi
  if [ "$status" -eq 4 ] && is_fork && grep -qE "needs (an API key|a value for the header [^:]*): set" "$OUTPUT"; then
    without_key
  fi
  if [ -f "$FOLDER/summary.md" ]; then
    [ ! -s "$STEP" ] || summarize "$STEP"
  elif [ -s "$STEP" ]; then
    cp "$STEP" "$FOLDER/summary.md" # a usage error, for the comment too
  fi
  return "$status"
}

apart() { # PROGRAM ARGUMENTS...: suites are code; what they run gets neither the token nor the outputs of the step
  env -u GH_TOKEN -u GITHUB_OUTPUT -u GITHUB_ENV -u GITHUB_PATH GITHUB_STEP_SUMMARY="$STEP" "$@"
}

run_pytest() ( # FOLDER ARGUMENTS...
  cd "$1" || exit
  shift
  rm -f "$STEP"
  # tee, which an interrupt leaves alone, so that pytest can end
  apart pytest --llm-model "model=$LLMBENCH_MODEL" "--llm-answers=$ANSWERS" "$@" 2>&1 | tee -i "$OUTPUT"
  exit "${PIPESTATUS[0]}"
)

without_key() { # a pull request of a fork has no secrets: its suites were checked, and that is all
  local text="Not evaluated: a pull request of a fork has no secret."
  give status 0
  give verdict none
  printf '## llmbench: not evaluated\n\nA pull request of a fork has no secret; its suites are valid.\n' >"$FOLDER/summary.md"
  summarize "$FOLDER/summary.md"
  if [ "$LLMBENCH_REQUIRE_KEY" = true ]; then
    say error "$text require-key is true, so this fails."
    exit 1
  fi
  say notice "$text Its suites are valid."
  exit 0
}

gate() {
  LLMBENCH_ACCEPT=${LLMBENCH_ACCEPT:-false}
  one_of undecided "$LLMBENCH_UNDECIDED" fail warn
  one_of comment "$LLMBENCH_COMMENT" auto never
  one_of report "$LLMBENCH_REPORT" true false
  one_of cache "$LLMBENCH_CACHE" true false
  one_of require-key "$LLMBENCH_REQUIRE_KEY" true false
  one_of accept "$LLMBENCH_ACCEPT" true false
  [ -n "$LLMBENCH_MODEL" ] || fail "model is empty; name an entry of fixtures/models.toml."
  if [ "$LLMBENCH_ACCEPT" = true ] && is_pull_request; then
    fail "accept: the run of a pull request becomes no baseline; start the workflow by hand on the default branch."
  fi
  command -v llmbench >/dev/null || fail "pytest-llmbench is not installed; leave install out, or install it in a step before."

  local paths=() options=() whole=() gate=() status=0 baseline="" artifact=llmbench-baseline line
  FOLDER=.llmbench/action
  BROKEN=""
  ANSWERS=$PWD/.llmbench/answers.sqlite
  OUTPUT=$PWD/$FOLDER/output.txt
  STEP=$PWD/$FOLDER/step.md
  rm -rf "$FOLDER"
  mkdir -p "$FOLDER"
  [ "$LLMBENCH_DIRECTORY" = . ] || artifact+="-${LLMBENCH_DIRECTORY//[^A-Za-z0-9._-]/-}"
  while IFS= read -r line; do [ -n "${line// /}" ] && paths+=("$line"); done <<<"$LLMBENCH_PATHS"
  [ "${#paths[@]}" -gt 0 ] || fail "paths is empty; name suite files or folders, one a line."
  if [ -n "${LLMBENCH_ARGS//[[:space:]]/}" ]; then
    mapfile -d '' -t options < <(python -I -c 'import os, shlex
for option in shlex.split(os.environ["LLMBENCH_ARGS"]): print(option, end="\0")') || true
    [ "${#options[@]}" -gt 0 ] || fail "args cannot be read; check its quotes."
  fi
  case "$LLMBENCH_ARGS" in *--llm-stop-early*) whole=(--llm-stop-early=off) ;; esac # where there is nothing to compare with
  [ -z "$LLMBENCH_MAX_COST" ] || options+=("--llm-max-cost=$LLMBENCH_MAX_COST")
  if is_pull_request && [ "$LLMBENCH_CACHE" = true ]; then
    options+=(--llm-reuse=all) # unchanged requests keep their answers: pressing "re-run" cannot change the verdict
  fi

  apart llmbench validate "${paths[@]}" || fail "A suite is wrong; llmbench validate lists it."

  case "$LLMBENCH_BASELINE" in
    none) ;;
    artifact) fetch_artifact "$artifact" "$FOLDER/baseline/baseline.json" && baseline=$FOLDER/baseline/baseline.json ;;
    base) run_base "$PWD/$FOLDER/base.json" "${paths[@]}" && baseline=$FOLDER/base.json && gate+=(--llm-allow-different=prompt) ;;
    *)
      if [ -f "$LLMBENCH_BASELINE" ]; then
        baseline=$LLMBENCH_BASELINE
      else
        say warning "There is no $LLMBENCH_BASELINE, so nothing is gated; accept a run and commit it: llmbench accept run.json -o $LLMBENCH_BASELINE."
      fi
      ;;
  esac
  if [ -n "$baseline" ]; then gate+=("--llm-baseline=$baseline"); else gate=(--llm-no-fail) options+=("${whole[@]}"); fi
  [ "$LLMBENCH_REPORT" = true ] && gate+=("--llm-report=$FOLDER/report.html")

  ask . "${gate[@]}" "--benchmark-json=$FOLDER/run.json" "--junitxml=$FOLDER/run.xml" "--llm-summary=$FOLDER/summary.md" \
    "${options[@]}" "${paths[@]}" || status=$?

  give status "$status"
  give baseline-name "$artifact"
  finish "$FOLDER" "$baseline"
  [ ! -f "$FOLDER/summary.md" ] || summarize "$FOLDER/summary.md"
  case "$status" in
    0) ;;
    1) say error "The model is worse, below a minimum score, or could not be asked, or a test failed; see the summary." ;;
    8) say warning "The gate cannot decide; the summary says what would help." ;;
    *) say error "pytest could not run the cases (exit status $status)." ;;
  esac
  if [ "$LLMBENCH_ACCEPT" = true ]; then
    accept "$status"
  elif [ "$LLMBENCH_BASELINE" = artifact ] && ! is_pull_request; then
    give_baseline "$baseline" # uploaded again as it is
  fi
  # a refused key or a dead server is red, whatever an older version of pytest-llmbench ended with
  if [ "$status" -eq 8 ] && [ "$LLMBENCH_UNDECIDED" = warn ] && [ -z "$BROKEN" ]; then exit 0; fi
  exit "$status"
}

accept() { # STATUS: take the run as the baseline, which a person chose; ends the step unless the gate refuses the run
  local file=$FOLDER/accepted/baseline.json
  if [ "$1" -ne 0 ] && [ "$1" -ne 8 ]; then
    say error "The run is not accepted."
    return
  fi
  mkdir -p "$(dirname "$file")"
  if ! apart llmbench accept "$FOLDER/run.json" -o "$file"; then
    say error "The run is not accepted; the log has the reason."
    exit 1
  fi
  give_baseline "$file"
  if [ -f "$LLMBENCH_BASELINE" ]; then
    say notice "The run is accepted: commit the file of the artifact as $LLMBENCH_BASELINE, which goes first."
  else
    say notice "The run is the baseline now."
  fi
  exit 0
}

give_baseline() { # FILE: what is uploaded as the artifact
  give baseline "${1:+${LLMBENCH_DIRECTORY%/}/$1}"
}

finish() { # FOLDER BASELINE: outputs that the other steps need
  local folder=$1 baseline=$2 file files="" root name found
  root=${LLMBENCH_DIRECTORY%/}
  for file in run.json run.xml summary.md report.html; do
    [ -f "$folder/$file" ] && files+="$root/$folder/$file"$'\n'
  done
  give files "${files%$'\n'}"
  name="llmbench-${GITHUB_JOB:-job}-${JOB_INDEX:-0}-$LLMBENCH_MODEL-$LLMBENCH_DIRECTORY" # a job may have several
  name=${name//[^A-Za-z0-9._-]/-}
  give name "${name:0:200}"
  if [ -f "$folder/summary.md" ]; then give summary "$folder/summary.md"; else give summary ""; fi
  found=$(
    python -I - "$folder/run.json" "$baseline" <<'PYTHON'
import datetime
import json
import sys


def read(path):
    try:
        with open(path, encoding="utf-8") as file:
            found = json.load(file)
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def tokens_cost(price, tokens):
    if not price or None in tokens:
        return None
    return (price["input_per_million"] * tokens[0] + price["output_per_million"] * tokens[1]) / 1e6


def costs(block, rows):
    """Give what each answer and each judge's reply cost, as far as it is known."""
    prices = {role: model.get("price") for role, model in (block.get("models") or {}).items()}
    judge = ((block.get("options") or {}).get("judge") or {}).get("price")
    records = [*(block.get("unmeasured") or ()), *(row.get("extra_info", {}).get("llmbench") or {} for row in rows)]
    for record in records:
        for sample in record.get("samples", ()):
            own = sample.get("cost_usd")
            if own is None:
                tokens = (sample.get("input_tokens"), sample.get("output_tokens"))
                own = tokens_cost(prices.get(record.get("role")), tokens)
            yield own
            yield tokens_cost(judge, (sample.get("parts") or {}).get("judge_tokens") or (None,))


sys.stdout.reconfigure(errors="replace")  # half a character in a name
run = read(sys.argv[1])
block = run.get("llmbench") or {}
gate = block.get("gate") or {}
if block.get("broken"):
    verdict = "broken"  # a model could not be asked: no verdict about it, whatever `undecided` says
else:
    verdict = str(gate.get("verdict") or "none")
print(f"verdict={verdict}" if verdict.replace(" ", "").isalpha() else "verdict=none")

known = [cost for cost in costs(block, run.get("benchmarks") or ()) if cost is not None]
print(f"cost-usd={sum(known):.6f}" if known else "cost-usd=")

base = read(sys.argv[2]) if sys.argv[2] else {}
try:
    made = datetime.datetime.fromisoformat(base["datetime"])
    days = (datetime.datetime.now(made.tzinfo) - made).days
    print(f"baseline-age={days} day{'' if days == 1 else 's'} old")
except (KeyError, ValueError, TypeError):
    print("baseline-age=")
try:
    names = {str(model.get("model")) for model in base["llmbench"]["models"].values()}
except (KeyError, TypeError, AttributeError):
    names = set()
print("baseline-model=" + ", ".join(" ".join(name.split()) for name in sorted(names)))
PYTHON
  )
  printf '%s\n' "$found" >>"$GITHUB_OUTPUT"
  case "$found" in verdict=broken*) BROKEN=yes ;; esac
}

# -- the comment

MOST_BYTES=65000 # GitHub takes 65,536 characters

code() { # TEXT: in a line of Markdown, as it is
  local text=${1//[$'`\r\n']/}
  printf '%s' "\`${text:0:200}\`"
}

ending() { # how a run ended that could not be judged
  case "${STATUS:-0}" in 0 | 1 | 8) ;; *) printf ', exit status %s' "$STATUS" ;; esac
}

shorten() { # FILE: cut a comment that GitHub would refuse, behind a whole line
  local cut
  [ "$(wc -c <"$1")" -gt "$MOST_BYTES" ] || return 0
  cut=$(mktemp)
  head -c "$MOST_BYTES" "$1" | sed '$d' >"$cut" # the last line may be cut anywhere
  printf '\n\nThe rest is too long for a comment: see %s.\n' \
    "${REPORT_URL:+the [run and report]($REPORT_URL), or }the summary of the job" >>"$cut"
  mv "$cut" "$1"
}

comment() {
  [ "$LLMBENCH_COMMENT" = auto ] && is_pull_request || exit 0
  if is_fork; then
    say notice "A pull request of a fork gets no comment: its token may only read. The job summary has the verdict."
    exit 0
  fi
  local name marker mine body place id known
  name="$GITHUB_WORKFLOW:$LLMBENCH_DIRECTORY"
  marker="<!-- llmbench:${name//[<>\\]/} -->" # nothing in a name ends the marker, or is read as an escape
  mine="<!-- $GITHUB_RUN_ID.$GITHUB_RUN_ATTEMPT $GITHUB_JOB.$JOB_INDEX -->"
  body=$(mktemp)
  {
    printf '%s\n%s\n' "$marker" "$mine"
    printf '**%s**%s: model %s%s, commit %s%s%s\n\n' "$VERDICT" "$(ending)" "$(code "$LLMBENCH_MODEL")" \
      "${BASELINE_MODEL:+ against $(code "$BASELINE_MODEL")}" "${HEAD_SHA:0:7}" \
      "${BASELINE_AGE:+, baseline $BASELINE_AGE}" "${REPORT_URL:+, [run and report]($REPORT_URL)}"
    if [ -n "$SUMMARY" ] && [ -f "$SUMMARY" ]; then cat "$SUMMARY"; else printf 'There is no summary; the log of the job has the reason.\n'; fi
  } >"$body"
  shorten "$body"

  # all pages, and only what this token's own bot wrote: anyone can write a comment that has the marker
  if ! known=$(gh api --paginate "repos/$GITHUB_REPOSITORY/issues/$PULL_REQUEST/comments?per_page=100" --jq \
    '.[] | select(.user.login == "github-actions[bot]") | [.id, (.body | gsub("\r"; "") | split("\n")[0:2][])] | @tsv'); then
    say warning "The comments cannot be read; $(way_out "pull-requests: write"). The job summary has the verdict."
    exit 0
  fi
  id=$(awk -F '\t' -v marker="$marker" '$2 == marker { print $1; exit }' <<<"$known")
  if [ -n "$id" ]; then
    known=$(awk -F '\t' -v id="$id" '$1 == id { print $3; exit }' <<<"$known")
    if [ "${known%% *}" = "<!--" ] && [ "$known" != "$mine" ] && [[ "$known" == "<!-- $GITHUB_RUN_ID.$GITHUB_RUN_ATTEMPT "* ]]; then
      say warning "Another job of this run has written the comment; give each a working-directory or workflow of its own, or comment: never."
      exit 0
    fi
    place=(--method PATCH "repos/$GITHUB_REPOSITORY/issues/comments/$id")
  else
    place=(--method POST "repos/$GITHUB_REPOSITORY/issues/$PULL_REQUEST/comments")
  fi
  gh api --silent "${place[@]}" --field "body=@$body" \
    || say warning "The comment cannot be written; $(way_out "pull-requests: write"). The job summary has the verdict."
}

case "${1:-}" in
  gate) gate ;;
  comment) comment ;;
  *) fail "run.sh is run by action.yml, as: run.sh gate, run.sh comment." ;;
esac
