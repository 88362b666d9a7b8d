"""Sensitive words: what is off by default, by matter and language (**table** → :mod:`streams.evolution.guards.sensitive`).

Of our own writing, and small: it finds what people say most. Each list is of words, or of several in a row, as
:func:`~streams.evolution.guards.wording.words_of` gives them (no case, no punctuation: "I'm" is ``i m``); inflections are
listed. What a term belongs to says what has to stand before it, so that a sentence speaks of somebody and not of a work:

=========  ====================================================================================================
``is``     what one is: "I am ...", "is a ...", "als ...", "je suis ..."
``has``    what one has: "I have ...", "my ...", "suffers from ...", "bei mir wurde ..."
``joins``  what one belongs to: "I am a member of ...", "joined ..."
``votes``  what one votes: "I voted ...", "wählt ..."
``does``   what one does, with a subject: "I ...", "goes to church"
``lone``   words that speak of somebody by themselves: "fui condenado"
=========  ====================================================================================================
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, get_args

Category = Literal[
    "health", "sexual_orientation", "religion", "political_views", "ethnic_origin", "trade_union", "criminal_convictions"
]
CATEGORIES: tuple[Category, ...] = get_args(Category)
Group = Literal["is", "has", "joins", "votes", "does", "lone"]


NAMES: Mapping[Category, str] = {
    "health": "health, gesundheit, santé, salud",
    "sexual_orientation": """
        sexual orientation, sexuality, sexuelle orientierung, orientation sexuelle, orientación sexual
        """,
    "religion": "religion, faith, glaube, religión",
    "political_views": """
        political views, politics, political opinions, politik, politische ansichten, opinions politiques, política,
        opiniones políticas
        """,
    "ethnic_origin": "ethnic origin, ethnicity, race, ethnische herkunft, origine ethnique, origen étnico",
    "trade_union": "trade union, trade union membership, union membership, gewerkschaft, syndicat, sindicato",
    "criminal_convictions": "criminal convictions, criminal record, vorstrafen, casier judiciaire, antecedentes penales",
}
"""What a category is called by the person who allows or forbids it; attributes of an item with such a name tell it too."""

ATTRIBUTES: Mapping[Category, str] = {
    "health": """
        diagnosis, disease, illness, disability, medical condition, health condition, krankheit, diagnose, behinderung,
        maladie, diagnostic, handicap, enfermedad, diagnóstico, discapacidad
        """,
    "religion": "religious affiliation, denomination, konfession, confession religieuse, confesión",
    "political_views": "political party, party affiliation, partei, parti politique, partido político",
    "ethnic_origin": "ethnic group, ethnie, etnia",
}
"""More names of attributes that tell a category."""

TERMS: Mapping[Category, Mapping[Group, str]] = {
    "health": {
        "is": """
            depressed, pregnant, disabled, diabetic, a diabetic, autistic, bipolar, epileptic, infertile, anorexic,
            bulimic, alcoholic, addict, schizophrenic, asthmatic, dyslexic, suicidal, hiv positive, in remission, in
            therapy, in rehab, on dialysis, on insulin, on antidepressants, on chemo, wheelchair user, a wheelchair user,
            wheelchair bound, cancer survivor, depressiv, schwanger, behindert, schwerbehindert, diabetiker, diabetikerin,
            autist, autistin, autistisch, alkoholiker, alkoholikerin, süchtig, in therapie, hiv positiv, krebskrank,
            chronisch krank, dépressif, dépressive, enceinte, handicapé, handicapée, diabétique, autiste, alcoolique,
            séropositif, séropositive, épileptique, deprimido, deprimida, embarazada, discapacitado, discapacitada,
            diabético, diabética, autista, alcohólico, alcohólica, seropositivo, seropositiva, epiléptico, epiléptica
            """,
        "has": """
            depression, anxiety, panic attacks, an eating disorder, eating disorder, bipolar disorder, schizophrenia,
            adhd, autism, dementia, alzheimer, alzheimer s, parkinson, parkinson s, epilepsy, diabetes, cancer, breast
            cancer, leukemia, leukaemia, tumor, tumour, hiv, aids, hepatitis, asthma, migraine, migraines, arthritis,
            eczema, psoriasis, endometriosis, anorexia, bulimia, ptsd, ocd, addiction, alcoholism, long covid, chronic
            pain, disability, a disability, heart disease, high blood pressure, miscarriage, abortion, chemo,
            chemotherapy, insulin, antidepressants, psychiatrist, therapist, transplant, pregnancy, multiple sclerosis,
            lupus, crohn s, celiac disease, coeliac disease, allergy, allergies, nut allergy, depressionen, eine
            depression, angststörung, angststörungen, essstörung, krebs, brustkrebs, migräne, rheuma, epilepsie,
            neurodermitis, bluthochdruck, herzkrankheit, behinderung, schwangerschaft, fehlgeburt, sucht, alkoholsucht,
            therapeut, therapeutin, psychiater, psychiaterin, allergie, allergien, demenz, dépression, anxiété, crises d
            angoisse, diabète, asthme, épilepsie, arthrose, sida, vih, handicap, grossesse, fausse couche, alcoolisme,
            psychiatre, psy, depresión, ansiedad, cáncer, migraña, migrañas, epilepsia, artritis, discapacidad, embarazo,
            aborto, alcoholismo, adicción, psiquiatra, terapeuta, alergia, alergias, asma
            """,
        "does": """
            take antidepressants, takes antidepressants, take insulin, takes insulin, relapsed, had a stroke, had a heart
            attack, had a miscarriage, had an abortion, tried to kill myself, attempted suicide
            """,
        "lone": """
            my hiv status, me diagnosticaron, bei mir wurde, on m a diagnostiqué, i was diagnosed with, i have been
            diagnosed with, i ve been diagnosed with, was diagnosed with, has been diagnosed with
            """,
    },
    "sexual_orientation": {
        "is": """
            gay, lesbian, a lesbian, bisexual, queer, homosexual, pansexual, asexual, heterosexual, transgender, trans, a
            trans woman, a trans man, non binary, nonbinary, in the closet, schwul, lesbisch, lesbe, bisexuell,
            homosexuell, heterosexuell, transsexuell, nicht binär, homosexuel, homosexuelle, lesbienne, bisexuel,
            bisexuelle, hétérosexuel, hétérosexuelle, transgenre, lesbiana, transexual
            """,
        "has": """
            coming out, homosexuality, bisexuality, homosexualität, homosexualité, homosexualidad, same sex partner
            """,
        "does": """
            came out as, come out as, came out to, come out to, am attracted to men, am attracted to women, am attracted
            to both
            """,
    },
    "religion": {
        "is": """
            muslim, a muslim, christian, catholic, protestant, lutheran, baptist, methodist, mormon, evangelical, jewish,
            jew, hindu, buddhist, sikh, atheist, agnostic, religious, born again, baptised, baptized, pagan, quaker,
            muslima, moslem, christ, christin, katholisch, katholik, katholikin, evangelisch, jude, jüdin, jüdisch,
            hinduistisch, buddhistin, atheistin, atheistisch, konfessionslos, gläubig, getauft, muslimisch, musulman,
            musulmane, chrétien, chrétienne, catholique, protestante, juif, juive, bouddhiste, athée, croyant, croyante,
            musulmán, musulmana, cristiano, cristiana, católico, católica, judío, judía, budista, ateo, atea, creyente,
            evangélico, evangélica
            """,
        "has": """
            faith, church, mosque, synagogue, rabbi, imam, pastor, baptism, bar mitzvah, bat mitzvah, glaube, glauben,
            kirche, kirchengemeinde, moschee, taufe, foi, église, mosquée, paroisse, baptême, fe, iglesia, mezquita,
            sinagoga, parroquia, bautizo
            """,
        "joins": """
            church, the church, a church, mosque, parish, congregation, kirche, kirchengemeinde, église, paroisse, iglesia
            """,
        "does": """
            go to church, goes to church, went to church, attend church, attends church, go to mass, goes to mass, attend
            mass, attends mass, pray every day, prays every day, pray daily, prays daily, pray five times, prays five
            times, believe in god, believes in god, keep kosher, keeps kosher, keep the sabbath, keeps the sabbath,
            observe ramadan, observes ramadan, fast during ramadan, fasts during ramadan, convert to islam, converted to
            islam, convert to judaism, converted to judaism, converted to christianity, converted to catholicism, gehe in
            die kirche, gehe zur kirche, geht in die kirche, bete jeden tag, betet jeden tag, glaube an gott, glaubt an
            gott, faste im ramadan, fastet im ramadan, crois en dieu, croit en dieu, vais à la messe, va à la messe, vais
            à l église, va à l église, prie tous les jours, fais le ramadan, fait le ramadan
            """,
        "lone": """
            creo en dios, cree en dios, voy a misa, va a misa, voy a la iglesia, va a la iglesia, rezo cada día
            """,
    },
    "political_views": {
        "is": """
            a conservative, a liberal, a socialist, socialist, communist, democrat, republican, libertarian, anarchist,
            marxist, leftist, left wing, right wing, far left, far right, on the left, on the right, nationalist, tory,
            pro life, pro choice, a trump supporter, labour supporter, sozialist, sozialistin, kommunist, kommunistin,
            linksradikal, rechtsradikal, links eingestellt, rechts eingestellt, konservativ, liberal eingestellt,
            anarchistin, de gauche, de droite, socialiste, communiste, écologiste, anarchiste, de izquierdas, de derechas,
            socialista, comunista, anarquista, nacionalista
            """,
        "has": """
            political views, political beliefs, politics, political party, politische meinung, politische einstellung,
            opinions politiques, ideas políticas, ideología
            """,
        "joins": """
            labour party, the labour party, conservative party, green party, democratic party, republican party, communist
            party, a political party, spd, cdu, csu, fdp, afd, den grünen, der linken, der partei, einer partei, parti
            socialiste, parti communiste, un parti, partido socialista, partido popular, un partido
            """,
        "votes": """
            labour, tory, conservative, conservatives, green, greens, liberal, democrat, democrats, democratic,
            republican, republicans, trump, biden, left, right, spd, cdu, csu, fdp, afd, grün, grüne, grünen, linke,
            links, rechts, gauche, droite, socialiste, vert, verts, rn, izquierda, derecha, psoe, pp, vox, podemos
            """,
        "does": "campaigned for the, canvassed for, donated to the campaign",
        "lone": "my political views are",
    },
    "ethnic_origin": {
        "is": """
            african american, asian american, afro caribbean, hispanic, latino, latina, roma, romani, kurdish, a kurd,
            arab, an arab, native american, indigenous, aboriginal, biracial, mixed race, a black woman, a black man,
            black woman, black man, a white woman, a white man, white woman, white man, asian woman, asian man, of african
            descent, of asian descent, of jewish descent, of turkish descent, of arab descent, of mixed descent, kurde,
            kurdin, kurdisch, araber, araberin, arabischer herkunft, türkischer herkunft, sinti, afrodeutsch, arabe,
            kabyle, d origine africaine, d origine arabe, d origine maghrébine, métis, métisse, gitano, gitana, árabe,
            indígena, mestizo, mestiza, afrodescendiente, de origen africano, de origen árabe
            """,
        "has": """
            ethnic background, ethnic origin, ethnicity, african roots, jewish roots, indigenous roots, african ancestry,
            jewish ancestry, native american ancestry, migrationshintergrund, origines africaines, origines maghrébines,
            raíces africanas, raíces indígenas
            """,
    },
    "trade_union": {
        "is": """
            union member, a union member, trade unionist, shop steward, union rep, union representative, union organizer,
            union organiser, unionized, unionised, gewerkschafter, gewerkschafterin, gewerkschaftsmitglied, syndiqué,
            syndiquée, syndicaliste, sindicalista, afiliado a un sindicato, afiliada a un sindicato
            """,
        "has": """
            union membership, union dues, union card, trade union, labor union, gewerkschaft, syndicat, sindicato
            """,
        "joins": """
            union, the union, a union, trade union, a trade union, labor union, teachers union, verdi, ig metall,
            gewerkschaft, einer gewerkschaft, der gewerkschaft, syndicat, un syndicat, cgt, la cgt, cfdt, sindicato, un
            sindicato, comisiones obreras, ugt
            """,
        "does": "pay union dues, pays union dues, organize for the union, organise for the union",
    },
    "criminal_convictions": {
        "is": """
            a felon, felon, convicted felon, ex con, ex convict, on parole, on probation, incarcerated, in prison, in
            jail, out of prison, out of jail, out on parole, vorbestraft, auf bewährung, im gefängnis, ex häftling, en
            prison, en liberté conditionnelle, ancien détenu, ancienne détenue, en la cárcel, en libertad condicional, ex
            presidiario, ex presidiaria
            """,
        "has": """
            criminal record, criminal conviction, criminal convictions, parole officer, probation officer, prison
            sentence, prison record, felony, felony conviction, vorstrafe, vorstrafen, bewährungshelfer,
            bewährungshelferin, casier judiciaire, peine de prison, antecedentes penales, condena
            """,
        "does": """
            went to prison, went to jail, served time, did time, was convicted of, were convicted of, was sentenced to,
            spent time in prison, spent years in prison, was released from prison, got out of prison, got out of jail,
            wurde verurteilt, saß im gefängnis, saß im knast, ai été condamné, ai été condamnée, a été condamné, a été
            condamnée, ai fait de la prison, a fait de la prison
            """,
        "lone": """
            fui condenado, fui condenada, fue condenado, fue condenada, estuve en la cárcel, estuvo en la cárcel
            """,
    },
}

OWN_CUES: Mapping[Group, str] = {
    "is": """
        i am, i m, im, i was, i ve been, i have been, i was raised, i was born, i was brought up, i grew up, i identify
        as, i became, we are, we re, being, as a, as an, ich bin, ich war, bin, wir sind, ich wurde, als, je suis, j
        étais, je me suis, en tant que, nous sommes, étant, soy, estoy, era, fui, somos, siendo
        """,
    "has": """
        i have, i ve, i had, i ve got, i got, my, i suffer from, i suffered from, i live with, i struggle with, i
        struggled with, diagnosed with, living with, struggling with, suffering from, treated for, recovering from, we
        have, ich habe, ich hatte, hab, habe, leide an, leide unter, litt an, litt unter, mein, meine, meinen, meinem,
        meiner, meines, lebe mit, j ai, j avais, je souffre de, je souffre d, mon, ma, mes, atteint de, atteinte de,
        tengo, tenía, tuve, padezco, sufro de, sufro, mi, mis, vivo con
        """,
    "joins": """
        i joined, i belong to, i m in, i am in, i m with, a member of, member of, members of, mitglied der, mitglied in,
        mitglied bei, mitglied, ich bin in, bin in, bin bei, membre de, membre du, membre d, adhérent à, adhérente à,
        adhérent de, miembro de, miembro del, afiliado a, afiliada a, afiliado al
        """,
    "votes": """
        i vote, i voted, i ll vote, i will vote, i always vote, i vote for, i voted for, i ll vote for, we vote, we voted,
        ich wähle, ich habe, wähle, je vote, je vote pour, j ai voté, j ai voté pour, voto, voto a, voto por, voté, voté
        a, voté por
        """,
    "does": "i, we, i have, i ve, i m, i am, i was, ich, wir, je, j, nous",
}
"""What has to stand before a term in the person's own words."""

TOLD_CUES: Mapping[Group, str] = {
    "is": """
        is, was, are, identifies as, being, as a, as an, became, was raised, was born, grew up, ist, war, als, est, était,
        es, era
        """,
    "has": """
        has, have, had, suffers from, suffered from, lives with, struggles with, struggled with, diagnosed with, living
        with, recovering from, their, his, her, hat, hatte, leidet an, leidet unter, lebt mit, ihr, ihre, ihren, ihrer,
        sein, seine, souffre de, souffre d, vit avec, son, sa, tiene, tenía, padece, sufre de, sufre, vive con, su
        """,
    "joins": """
        joined, belongs to, a member of, member of, mitglied der, mitglied in, mitglied bei, membre de, membre du, miembro
        de, miembro del, afiliado a, afiliada a
        """,
    "votes": """
        votes, voted, votes for, voted for, wählt, wählte, vote, vote pour, a voté, vota, vota a, votó, votó a
        """,
}
"""What has to stand before a term where somebody is spoken of: at the beginning of a sentence, or after one of SUBJECTS."""

SUBJECTS = """
    user person reader viewer customer listener shopper they he she who and but nutzer nutzerin kunde kundin er sie und
    die der utilisateur utilisatrice cliente personne il elle qui et usuario usuaria persona él ella que quien y
    """
"""Who does what a sentence says, or what begins another part of it."""

FILLERS = """
    a an the very quite really truly proud devout practising practicing strict lapsed former ex openly deeply recently
    just also still now no not never longer always been being both partly severe severely chronic chronically mild type 1
    2 3 4 stage late early own little bit somewhat lifelong registered active clinical clinically some as currently newly
    secretly months weeks ein eine einen einem einer der die das den sehr auch noch nicht kein keine keinen gläubiger
    gläubige praktizierender praktizierende überzeugter überzeugte seit immer schwer schwere schweren chronische streng
    früher ehemaliger ehemalige un une le la l de d du des très aussi pas plus toujours pratiquant pratiquante ancien
    ancienne ne una el los las muy también ya nunca practicante siempre
    """
"""May stand between a cue and its term."""

WORKS = """
    film films movie movies book books novel novels cinema literature music song songs art show shows series story stories
    drama dramas comedy comedies documentary documentaries romance romances character characters cast actor actors fiction
    theme themes genre genres history humor humour icon icons classic classics fan fans bale slater dior louboutin filme
    bücher serie serien musik literatur romane livre livres musique littérature série séries película películas libro
    libros música literatura belt dress shirt jeans top rock metal
    """
"""Behind a term, it speaks of works or things and not of somebody."""

SEEKS = """
    symptoms symptom treatment treatments medication medicine cure therapy clinic doctor support test near dating convert
    join joining become meeting meetings lawyer helpline signs am my i symptome behandlung medikament medikamente therapie
    arzt selbsthilfegruppe nähe beitreten mein meine symptômes traitement médicament médicaments rencontre rencontres près
    mon ma síntomas tratamiento medicamento medicamentos citas cerca mi grupo
    """
"""In a search, beside a term: it is looked for as one's own."""
