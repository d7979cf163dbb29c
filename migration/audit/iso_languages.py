"""ISO 639: three-letter codes and the two-letter ones they mean. Pure.

A plain table, for the audit: what a book's language should be on the server is not
derived by the library that `metadata` uses. Codes that say different things to
different people (Tagalog and Filipino, Twi, Serbo-Croatian) are left out; they are not
compared.
"""

_SHORT = """
aar:aa abk:ab afr:af aka:ak alb:sq amh:am ara:ar arg:an arm:hy asm:as ava:av ave:ae
aym:ay aze:az bak:ba bam:bm baq:eu bel:be ben:bn bis:bi bod:bo bos:bs bre:br bul:bg
bur:my cat:ca ces:cs cha:ch che:ce chi:zh chu:cu chv:cv cor:kw cos:co cre:cr cym:cy
cze:cs dan:da deu:de div:dv dut:nl dzo:dz ell:el eng:en epo:eo est:et eus:eu ewe:ee
fao:fo fas:fa fij:fj fin:fi fra:fr fre:fr fry:fy ful:ff geo:ka ger:de gla:gd gle:ga
glg:gl glv:gv gre:el grn:gn guj:gu hat:ht hau:ha heb:he her:hz hin:hi hmo:ho hrv:hr
hun:hu hye:hy ibo:ig ice:is ido:io iii:ii iku:iu ile:ie ina:ia ind:id ipk:ik isl:is
ita:it jav:jv jpn:ja kal:kl kan:kn kas:ks kat:ka kau:kr kaz:kk khm:km kik:ki kin:rw
kir:ky kom:kv kon:kg kor:ko kua:kj kur:ku lao:lo lat:la lav:lv lim:li lin:ln lit:lt
ltz:lb lub:lu lug:lg mac:mk mah:mh mal:ml mao:mi mar:mr may:ms mkd:mk mlg:mg mlt:mt
mon:mn mri:mi msa:ms mya:my nau:na nav:nv nbl:nr nde:nd ndo:ng nep:ne nld:nl nno:nn
nob:nb nor:no nya:ny oci:oc oji:oj ori:or orm:om oss:os pan:pa per:fa pli:pi pol:pl
por:pt pus:ps que:qu roh:rm ron:ro rum:ro run:rn rus:ru sag:sg san:sa sin:si slk:sk
slo:sk slv:sl sme:se smo:sm sna:sn snd:sd som:so sot:st spa:es sqi:sq srd:sc srp:sr
ssw:ss sun:su swa:sw swe:sv tah:ty tam:ta tat:tt tel:te tgk:tg tha:th tib:bo tir:ti
ton:to tsn:tn tso:ts tuk:tk tur:tr uig:ug ukr:uk urd:ur uzb:uz ven:ve vie:vi vol:vo
wel:cy wln:wa wol:wo xho:xh yid:yi yor:yo zha:za zho:zh zul:zu
"""

#: The usual form of a language of several, as Calibre may name it.
_MEMBERS = """
als:sq arb:ar ayr:ay azj:az cmn:zh cwd:cr ekk:et esk:ik fat:ak fuc:ff gaz:om gug:gn
ike:iu khk:mn kmr:ku knc:kr kng:kg kpv:kv lvs:lv npi:ne ojg:oj ory:or pbu:ps pes:fa
plt:mg quz:qu src:sc swh:sw uzn:uz ydd:yi zsm:ms zyb:za
"""

#: A server may have only the wider language.
WIDER = {"nb": "no", "nn": "no"}


def _read(text: str) -> dict[str, str]:
    return dict(pair.split(":") for pair in text.split())


_TWO_LETTERS = {**_read(_SHORT), **_read(_MEMBERS)}


def short(code: str) -> str:
    """Returns the two-letter code of a language code in any form, "" if not known.

    Country, script and encoding are left out: `pt_BR` and `por` are `pt`.
    """
    primary = code.strip().lower().replace("_", "-").partition("-")[0]
    primary = primary.partition(".")[0].partition("@")[0]
    known = primary in _TWO_LETTERS.values()
    return primary if known else _TWO_LETTERS.get(primary, "")
