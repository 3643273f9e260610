"""Values of spec.acknowledge: the same for people, operator and agent, and each for one refusal."""

from __future__ import annotations

import pytest

from backstay.api.acknowledgement import MEANINGS, Acknowledgement
from backstay.domain.errors import DataError, UserError
from backstay.domain.restore.acknowledgement import MEANS, Acknowledged, Word


def test_every_word_that_people_may_write_is_known_and_described() -> None:
    assert {a.value for a in Acknowledgement} == {w.value for w in Word}
    assert set(MEANINGS) == set(Acknowledgement)
    assert set(MEANS) == set(Word)


def test_a_refusal_without_its_word_keeps_its_kind_and_names_the_word() -> None:
    said = Acknowledged(["TooLittleRoom"])

    with pytest.raises(UserError, match="it is; or add ClaimInUse to") as refused:
        said.pass_over(Word.CLAIM_IN_USE, UserError("ClaimInUse", "it is"))
    with pytest.raises(DataError, match="add Unverified to"):
        said.pass_over(Word.UNVERIFIED, DataError("it differs"))

    assert refused.value.reason == "ClaimInUse"
    assert (said.used, said.in_words) == ({}, "")


def test_a_word_is_used_once_and_for_what_it_passed_over_first() -> None:
    said = Acknowledged(["Unverified", "NotHeld"])

    said.pass_over(Word.UNVERIFIED, DataError("first"))
    said.pass_over(Word.UNVERIFIED, DataError("second"))

    assert said.used == {"Unverified": "first"}
    assert said.in_words == "; Unverified was acknowledged: first"
