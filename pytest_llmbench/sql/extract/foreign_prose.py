"""What stands between the queries of an answer in German, French, Spanish, Portuguese, Italian, Chinese or Japanese.

The counterparts of the English words of `fences`; a model answers in the language of its user, with SQL in English.
"""

ANNOUNCES = (
    r"\bendgültige\w*|\bfinale\w*\s+(?:abfrage|anfrage|version|lösung|query|sql)|\bkorrigiert\w*|\bkorrektur\b|\bberichtigt\w*"
    r"|\b(?:requête|version|solution|réponse)\s+(?:finale|complète)\b|\bcorrigée?s?\b"
    r"|\b(?:consulta|versión|versão|solución|solução|respuesta|resposta)\s+(?:final|completa|definitiva)\b"
    r"|\bcorregid[ao]s?\b|\bcorrección\b|\bcorrigid[ao]s?\b|\bcorreção\b|\bquery\s+(?:finale|corretta|completa)\b"
    r"|最终|最終|修正|更正|改正|正确的?(?:查询|语句|SQL)|完整的?(?:查询|语句|SQL)"
)
"""The next query is the answer."""

OTHER = (
    r"\bfalls\b|\bwenn\s+(?:du|ihr|sie|man|nur|die|der|das|es)\b|^\W*oder\b|\bandere\w*\s+(?:variante|möglichkeit|lösung|weg)"
    r"|\bvariante\b|\bgleichwertig|\bkürzer\b"
    r"|\b(?:kann|kannst|können|könnte\w*|geht|lässt)\b[^\n]{0,60}?\bauch\b|\bauch\s+(?:möglich|so)\b"
    r"|\bsi\s+(?:vous|tu|l'on|on|votre|seul\w*)\b|^\W*ou\b|\bautre\s+(?:façon|solution|version|approche|manière)"
    r"|\béquivalent|\b(?:vous|on)\s+(?:pouvez|pourriez|peut|pourrait)\b"
    r"|\bsi\s+(?:quier\w*|dese\w*|solo|sólo|usa\w*|prefier\w*|necesit\w*|utiliz\w*)|^\W*o\s|\bpued\w+\b"
    r"|\botra\s+(?:forma|opción|manera|versión)|\bse\s+(?:você|quiser|preferir|vuoi|preferisci)\b|\boutra\s+(?:forma|opção|maneira)"
    r"|\bpod\w+\s+também\b|\boppure\b|如果|若[你您要需]|或者|另一[种個个]|另外|也可以|替代|等价|等價|または|あるいは|別の|場合"
)
"""The next query is another form of the answer."""

SHOWN = (
    r"\bbeispiel|\bzum\s+(?:prüfen|testen|überprüfen|vergleich|kontrollieren)|\büberprüf|\bergebnis|\bausgabe\b|\berklärung\b"
    r"|\bhinweis\b|\bexemple|\bvérifi|\btester\b|\brésultat|\bsortie\b|\bexplication|\bremarque\b"
    r"|\bejemplo|\bexemplo|\bverific|\bcomprob|\bprobar\b|\bresultado|\bsalida\b|\bsaída\b|\bexplicaci|\bexplica[çz]|\besempio|\brisultat"
    r"|例如|示例|举例|验证|驗證|测试|測試|结果(?:[为是如:：])|輸出|输出|说明|說明|解释|索引|検証|確認|例えば"
)
"""The next query demonstrates something."""

STEP = (
    r"schritt\b|dann\b|danach\b|anschließend\b|schließlich\b|nun\b|étape\b|ensuite\b|puis\b|enfin\b|maintenant\b"
    r"|paso\b|luego\b|después\b|ahora\b|finalmente\b|por\s+último\b|passo\b|depois\b|agora\b|poi\b|infine\b"
    r"|第[一二三四五六\d]+步|步骤|然后|接着|接下来|最后|次に|最後に"
)
"""The next query goes on from the one before it."""
