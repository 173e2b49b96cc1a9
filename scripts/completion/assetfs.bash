# shellcheck shell=bash
# Completion of assetfs for bash; needs nothing else. Replies are whole shell words, of which
# readline wants what follows the last of its own breaks (= and :), so that --cache=DIR and
# -o a=b work as well.

_assetfs_verbs="cancel check-config gc help ls mount pin prefetch reload status unpin verify"

# Sets `options` to those of a verb; those that take a value have a = behind them.
_assetfs_options() {
    case $1 in
    mount)
        options="-f -c= -o= --origin= --catalog= --catalog-refresh= --cache= --cache-size= --keep-free="
        options+=" --verify= --scrub-interval= --max-asset-size= --max-downloads="
        options+=" --connections= --retries= --open-timeout= --stall-timeout= --min-rate= --ca="
        options+=" --proxy= --deny-net= --user= --log-level="
        ;;
    status) options="--json --watch" ;;
    ls) options="--cache= --json" ;;
    gc) options="--cache= --cache-size= --keep-free=" ;;
    pin | unpin) options="--cache= --catalog=" ;;
    verify) options="-q --cache=" ;;
    prefetch) options="-q --jobs= --catalog=" ;;
    *) options="" ;;
    esac
}

_assetfs_mount_options="uid= gid= umask= passthrough= context= fsname= allow_other allow_root
    default_permissions noexec noatime"

# _assetfs_reply PREFIX CURRENT WORDS: those of the words that CURRENT begins.
_assetfs_reply() {
    local word words
    read -r -d "" -a words <<<"$3"
    for word in "${words[@]}"; do
        [[ $word != "$2"* ]] || COMPREPLY+=("$1$word")
    done
}

# _assetfs_paths PREFIX CURRENT d|f
_assetfs_paths() {
    local path
    compopt -o filenames 2>/dev/null
    while read -r path; do
        COMPREPLY+=("$1$path")
    done < <(compgen "-$3" -- "$2")
}

_assetfs_mounts() {
    local points
    points=$(awk '/ - fuse\.assetfs / { print $5 }' /proc/self/mountinfo 2>/dev/null)
    _assetfs_reply "" "$1" "$points"
    [[ ${#COMPREPLY[@]} -gt 0 ]] || _assetfs_paths "" "$1" d
}

# The names of a mount and its digests. A glob, since no file has to be looked at.
_assetfs_assets() {
    local path
    compopt -o filenames 2>/dev/null
    for path in "$1"/by-name/"$2"* "$1"/"$2"*; do
        path=${path##*/}
        [[ $path == "$2"\* || $path == by-name ]] || COMPREPLY+=("$path")
    done
}

# What is being downloaded.
_assetfs_flights() {
    local flights
    flights=$(tr '\n' ' ' 2>/dev/null <"$1/.assetfs/status.json" |
        sed 's/"failures":.*//' | grep -oE '"(digest|name)": *"[^"\\]*"' | sed 's/.*"\(.*\)"/\1/')
    _assetfs_reply "" "$2" "$flights"
}

# _assetfs_value OPTION PREFIX CURRENT
_assetfs_value() {
    local list=${3%"${3##*,}"} item=${3##*,}
    case $1 in
    --cache) _assetfs_paths "$2" "$3" d ;;
    -c | --catalog | --ca) _assetfs_paths "$2" "$3" f ;;
    --log-level) _assetfs_reply "$2" "$3" "error warning info debug" ;;
    --verify) _assetfs_reply "$2" "$3" "metadata boot always" ;;
    --user) _assetfs_reply "$2" "$3" "$(compgen -u)" ;;
    --deny-net) _assetfs_reply "$2" "$3" none ;;
    -o)
        case $item in
        passthrough=*) _assetfs_reply "$2${list}passthrough=" "${item#*=}" "auto on off" ;;
        uid=*) _assetfs_reply "$2${list}uid=" "${item#*=}" "$(compgen -u)" ;;
        gid=*) _assetfs_reply "$2${list}gid=" "${item#*=}" "$(compgen -g)" ;;
        *) _assetfs_reply "$2$list" "$item" "$_assetfs_mount_options" ;;
        esac
        [[ ${COMPREPLY[0]} != *= ]] || compopt -o nospace 2>/dev/null
        ;;
    esac
}

# _assetfs_argument VERB CURRENT [MOUNTPOINT]: what is no option.
_assetfs_argument() {
    case $1 in
    mount) _assetfs_paths "" "$2" d ;;
    status | reload | ls) [[ -n ${3:-} ]] || _assetfs_mounts "$2" ;;
    check-config) [[ -n ${3:-} ]] || _assetfs_paths "" "$2" f ;;
    prefetch) if [[ -n ${3:-} ]]; then _assetfs_assets "$3" "$2"; else _assetfs_mounts "$2"; fi ;;
    cancel) if [[ -n ${3:-} ]]; then _assetfs_flights "$3" "$2"; else _assetfs_mounts "$2"; fi ;;
    help) _assetfs_reply "" "$2" "$_assetfs_verbs" ;;
    esac
}

_assetfs_complete() {
    local words=() verb options word current before="" mountpoint=""
    read -ra words <<<"${COMP_LINE:0:COMP_POINT}"
    [[ ${COMP_LINE:0:COMP_POINT} != *[[:space:]] ]] || words+=("")
    current=${words[-1]}
    if [[ ${#words[@]} -le 2 ]]; then
        _assetfs_reply "" "$current" "$_assetfs_verbs --help --version"
        return
    fi
    verb=${words[1]}
    _assetfs_options "$verb"
    options=" $options "

    # The option whose value comes next, and the first word that is no option.
    for word in "${words[@]:2:${#words[@]}-3}"; do
        if [[ -n $before ]]; then
            before=""
        elif [[ $word == -* ]]; then
            [[ $options != *" $word= "* ]] || before=$word
        else
            mountpoint=${mountpoint:-$word}
        fi
    done
    if [[ -n $before ]]; then
        _assetfs_value "$before" "" "$current"
    elif [[ $current == --*=* ]]; then
        _assetfs_value "${current%%=*}" "${current%%=*}=" "${current#*=}"
    elif [[ $current == -* ]]; then
        _assetfs_reply "" "$current" "${options//= / } --help"
    else
        _assetfs_argument "$verb" "$current" "$mountpoint"
    fi
}

_assetfs() {
    local last=${COMP_LINE:0:COMP_POINT} broken i
    COMPREPLY=()
    _assetfs_complete
    last=${last##*[[:space:]]}
    broken=${last%"${last##*[=:]}"}
    for i in "${!COMPREPLY[@]}"; do
        COMPREPLY[i]=${COMPREPLY[i]#"$broken"}
    done
}

complete -F _assetfs assetfs
