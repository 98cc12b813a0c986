#!/usr/bin/env bash
# The steps of action.yml, a plain program: `run.sh gate` runs the cases and decides, `run.sh comment` keeps the comment.
# All it needs comes in environment variables; nothing of a pull request is ever a part of the program.
set -euo pipefail

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

# -- the baseline

fetch_artifact() { # FILE: the newest baseline of the default branch; a fork's branch of the same name does not count
  local file=$1 id
  id=$(gh api "repos/$GITHUB_REPOSITORY/actions/artifacts?name=llmbench-baseline&per_page=100" --jq '
    [.artifacts[].workflow_run | select(.head_branch == env.DEFAULT_BRANCH and .head_repository_id == .repository_id)]
    | first | .id // empty') || fail "The list of artifacts cannot be read; the job needs the permission actions: read."
  if [ -z "$id" ]; then
    say warning "There is no baseline yet, so nothing is gated; accept a run on $DEFAULT_BRANCH (llmbench accept)."
    return 1
  fi
  mkdir -p "$(dirname "$file")"
  gh run download "$id" --repo "$GITHUB_REPOSITORY" --name llmbench-baseline --dir "$(dirname "$file")" \
    || fail "The baseline of run $id cannot be fetched (artifacts expire); accept a run again, or commit one as baseline.json."
  [ -f "$file" ] || fail "The artifact llmbench-baseline of run $id holds no $(basename "$file"); accept a run again."
}

run_base() { # FILE PATHS...: ask the model with the cases and prompts of the merge base
  local file=$1 base tree folder status=0
  shift
  is_pull_request || { say warning "baseline: base needs a pull request; nothing is gated."; return 1; }
  base=$(gh api "repos/$GITHUB_REPOSITORY/compare/${GITHUB_BASE_REF//\//%2F}...$HEAD_SHA" --jq .merge_base_commit.sha) \
    || fail "The merge base of the pull request cannot be found; the job needs the permission contents: read."
  git fetch --quiet --depth=1 origin "$base" || fail "The merge base $base cannot be fetched."
  tree=$(mktemp -d)/base
  git worktree add --quiet --detach "$tree" "$base" || fail "The merge base $base cannot be checked out."
  folder=$tree/$(git rev-parse --show-prefix)
  [ -d "$folder" ] || fail "The merge base $base has no folder ${LLMBENCH_DIRECTORY}; leave baseline out for this pull request."
  # what is equal in both is asked once: the answers are in one store
  (cd "$folder" && pytest --llm-model "model=$LLMBENCH_MODEL" --llm-no-fail "--benchmark-json=$file" \
    "--llm-answers=$ANSWERS" "${options[@]}" "$@") || status=$?
  git worktree remove --force "$tree"
  [ "$status" -le 1 ] && [ -f "$file" ] || fail "The cases of the merge base $base cannot be run (exit status $status)."
}

# -- the run

gate() {
  one_of undecided "$LLMBENCH_UNDECIDED" fail warn
  one_of comment "$LLMBENCH_COMMENT" auto never
  one_of report "$LLMBENCH_REPORT" true false
  one_of cache "$LLMBENCH_CACHE" true false
  one_of require-key "$LLMBENCH_REQUIRE_KEY" true false
  [ -n "$LLMBENCH_MODEL" ] || fail "model is empty; name an entry of fixtures/models.toml."

  local folder=.llmbench/action paths=() options=() gate=() status=0 baseline="" line
  ANSWERS=$PWD/.llmbench/answers.sqlite
  rm -rf "$folder"
  mkdir -p "$folder"
  while IFS= read -r line; do [ -n "${line// /}" ] && paths+=("$line"); done <<<"$LLMBENCH_PATHS"
  [ "${#paths[@]}" -gt 0 ] || fail "paths is empty; name suite files or folders, one a line."
  if [ -n "$LLMBENCH_ARGS" ]; then
    mapfile -d '' -t options < <(python -c 'import os, shlex
print(*shlex.split(os.environ["LLMBENCH_ARGS"]), sep="\0", end="\0")') || true
    [ "${#options[@]}" -gt 0 ] || fail "args cannot be read; check its quotes."
  fi
  [ -z "$LLMBENCH_MAX_COST" ] || options+=("--llm-max-cost=$LLMBENCH_MAX_COST")
  if is_pull_request && [ "$LLMBENCH_CACHE" = true ]; then
    options+=(--llm-reuse=all) # unchanged requests keep their answers: pressing "re-run" cannot change the verdict
  fi

  llmbench validate "${paths[@]}" || fail "A suite is wrong; llmbench validate lists it."

  case "$LLMBENCH_BASELINE" in
    none) gate=(--llm-no-fail) ;;
    artifact) fetch_artifact "$folder/baseline/baseline.json" && baseline=$folder/baseline/baseline.json ;;
    base) run_base "$PWD/$folder/base.json" "${paths[@]}" && baseline=$folder/base.json && gate+=(--llm-allow-different=prompt) ;;
    *)
      if [ -f "$LLMBENCH_BASELINE" ]; then
        baseline=$LLMBENCH_BASELINE
      else
        say warning "There is no $LLMBENCH_BASELINE, so nothing is gated; accept a run and commit it: llmbench accept run.json -o $LLMBENCH_BASELINE."
      fi
      ;;
  esac
  if [ -n "$baseline" ]; then gate+=("--llm-baseline=$baseline"); else gate=(--llm-no-fail); fi
  [ "$LLMBENCH_REPORT" = true ] && gate+=("--llm-report=$folder/report.html")

  pytest --llm-model "model=$LLMBENCH_MODEL" "${gate[@]}" "--benchmark-json=$folder/run.json" \
    "--junitxml=$folder/run.xml" "--llm-summary=$folder/summary.md" "--llm-answers=$ANSWERS" \
    "${options[@]}" "${paths[@]}" 2>&1 | tee "$folder/output.txt" || status=${PIPESTATUS[0]}

  if [ "$status" -eq 4 ] && is_fork && grep -q "needs an API key: set" "$folder/output.txt"; then
    give status 0
    give verdict none
    if [ "$LLMBENCH_REQUIRE_KEY" = true ]; then
      say error "Not evaluated: a pull request of a fork has no secret, and require-key is true."
      exit 1
    fi
    say notice "Not evaluated: a pull request of a fork has no secret. Its suites are valid."
    exit 0
  fi

  give status "$status"
  finish "$folder" "$baseline"
  case "$status" in
    8)
      say warning "The gate cannot decide; the summary says what would help."
      [ "$LLMBENCH_UNDECIDED" = warn ] && exit 0
      ;;
    1) say error "The model is worse, below a minimum score, or could not be asked, or a test failed; see the summary." ;;
    0) ;;
    *) say error "pytest could not run the cases (exit status $status)." ;;
  esac
  exit "$status"
}

finish() { # FOLDER BASELINE: outputs that the other steps need
  local folder=$1 baseline=$2 file files="" root
  root=${LLMBENCH_DIRECTORY%/}
  for file in run.json run.xml summary.md report.html; do
    [ -f "$folder/$file" ] && files+="$root/$folder/$file"$'\n'
  done
  give files "${files%$'\n'}"
  give baseline "${baseline:+$root/$baseline}"
  if [ -f "$folder/summary.md" ]; then give summary "$folder/summary.md"; else give summary ""; fi
  python - "$folder/run.json" "$baseline" <<'PYTHON' >>"$GITHUB_OUTPUT"
import datetime
import json
import sys


def read(path):
    try:
        with open(path, encoding="utf-8") as file:
            return json.load(file)
    except (OSError, ValueError):
        return {}


run = read(sys.argv[1])
block = run.get("llmbench") or {}
gate = block.get("gate") or {}
if block.get("broken"):
    verdict = "broken"  # a model could not be asked: no verdict about it, whatever `undecided` says
else:
    verdict = gate.get("verdict") or "none"
print(f"verdict={verdict}" if verdict.replace(" ", "").isalpha() else "verdict=none")

samples = [sample for record in block.get("unmeasured") or () for sample in record["samples"]]
samples += [
    sample for row in run.get("benchmarks") or () for sample in row["extra_info"].get("llmbench", {}).get("samples", ())
]
costs = [sample["cost_usd"] for sample in samples if sample.get("cost_usd") is not None]
print(f"cost-usd={sum(costs):.6f}" if costs else "cost-usd=")

try:
    made = datetime.datetime.fromisoformat(read(sys.argv[2])["datetime"]) if sys.argv[2] else None
except (KeyError, ValueError, TypeError):
    made = None
days = None if made is None else (datetime.datetime.now(datetime.timezone.utc) - made).days
print("baseline-age=" if days is None else f"baseline-age={days} day{'' if days == 1 else 's'} old")
PYTHON
}

# -- the comment

comment() {
  [ "$LLMBENCH_COMMENT" = auto ] && is_pull_request || exit 0
  if is_fork; then
    say notice "A pull request of a fork gets no comment: its token may only read. The job summary has the verdict."
    exit 0
  fi
  local name marker mine body place id known
  name="$GITHUB_WORKFLOW:$LLMBENCH_DIRECTORY"
  marker="<!-- llmbench:${name//[<>]/} -->" # nothing in a name ends the marker
  mine="<!-- $GITHUB_RUN_ID.$GITHUB_RUN_ATTEMPT $GITHUB_JOB.$JOB_INDEX -->"
  body=$(mktemp)
  {
    printf '%s\n%s\n' "$marker" "$mine"
    printf '**%s**: model %s, commit %s%s%s\n\n' "$VERDICT" "\`${LLMBENCH_MODEL//\`/}\`" "${HEAD_SHA:0:7}" \
      "${BASELINE_AGE:+, baseline $BASELINE_AGE}" "${REPORT_URL:+, [run and report]($REPORT_URL)}"
    if [ -n "$SUMMARY" ] && [ -f "$SUMMARY" ]; then cat "$SUMMARY"; else printf 'There is no summary; the log of the job has the reason.\n'; fi
  } >"$body"

  # all pages, and only what this token's own bot wrote: anyone can write a comment that has the marker
  if ! known=$(gh api --paginate "repos/$GITHUB_REPOSITORY/issues/$PULL_REQUEST/comments?per_page=100" --jq \
    '.[] | select(.user.login == "github-actions[bot]") | [.id, (.body | split("\n")[0:2][])] | @tsv'); then
    say warning "The comments cannot be read; the job needs the permission pull-requests: write. The job summary has the verdict."
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
    || say warning "The comment cannot be written; the job needs the permission pull-requests: write. The job summary has the verdict."
}

case "${1:-}" in
  gate) gate ;;
  comment) comment ;;
  *) fail "run.sh is run by action.yml, as: run.sh gate, run.sh comment." ;;
esac
