"""How Chinese, Japanese and Korean deny an English label that stands among their words, without a blank around it."""

CHARACTERS = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af"
"""Characters of scripts that put no blank between words, as a range within brackets."""

_VERBS = (
    "应该?|應該?|可能|认为|認為|觉得|覺得|确定|確定|判断|判斷|属于|屬於|符合|是否|[太大能会會该該像算选選是为為够夠很]"
)
DENIAL = rf"(?:(?:(?<!不得)不|没有?|沒有?|无法|無法)(?:{_VERBS}){{0,4}}|排除了?|既不是?|也不是?) ?"
"""What stands before a label that is not meant: 不可能是A."""

_CHINESE = (
    r"(?:选项|選項|答案|[项項])?[都也并並就肯定明显顯然]{0,4}"
    r"(?:是?(?:不(?:对|對|正确|正確|符合|属于|屬於|成立|合适|合適|太|可能|是(?![错錯没沒不因只唯]))|错|錯|有误|有誤)"
    r"|不(?:会|會|应该?|應該?)(?:是|选|選)|不能[选選]|(?:可以?|应该?|應該?|被|需要?|要)?排除)"
)
_JAPANESE = (
    r"(?:は|も|が)?(?:(?:間違|違)(?:い(?!な)|[うえっ])|誤|不(?:正解|正確|適)|正しく(?:な|あ)"
    r"|正しい(?:答え|もの|わけ)?(?:では|とは|じゃ)|(?:正解|適切|該当|答え)(?:では|じゃ)(?:な|あ)"
    r"|該当しな|該当しません|当てはまら|当てはまりません)"
)
_KOREAN = (
    r"(?:[은는이가도])? ?(?:(?:정답|답|맞는 것|올바른 답)[은는이가도]? ?)?"
    r"(?:아[니닙님닌]|틀[렸린리]|잘못|오답|맞지 ?않|옳지 ?않|올바르지 ?않|적절하지 ?않|해당하지 ?않|될 수 없)"
)
AND = " ?(?:以及|[和与與及跟或、もとや와과나]|하고) ?"
"""What joins labels that are denied together: A和B都不对."""

DENIED_BEHIND = (
    r" ?(?:で(?:は|も)|じゃ)(?:な|ありません)| ?(?:都?不对|不正确|是错)"
    # a label of the same script may be another one's opposite: 对 错
    rf"|(?<=[a-z0-9])(?: ?{_CHINESE}| ?{_JAPANESE})| ?{_KOREAN}"
)
"""What stands behind a label that is not meant: A是不正确的, Aは間違いです, A는 틀렸습니다."""
