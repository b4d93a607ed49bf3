"""Errors that are planted among synthetic persons are found."""

import numpy as np
import pandas as pd
import pytest

from benchmarks.persons import synthetic_faces
from meanface.results.audit import Audit, Named

SIZES = np.array([6] * 40 + [1] * 60)


def audit_of(faces: np.ndarray, names: np.ndarray, photos: np.ndarray | None = None) -> Audit:
    """Audit faces, each in a photo of its own if `photos` does not tell."""
    photos = np.arange(len(faces)) if photos is None else photos
    paths = [f"{photo:05d}" for photo in photos]
    identity = ["" if name < 0 else f"{name:05d}" for name in names]
    table = pd.DataFrame({"path": paths, "identity": identity})
    return Audit(Named.of(faces, table), same_person=0.86)


def test_wrong_names_come_first_and_say_whose_face_it_is() -> None:
    faces, person = synthetic_faces(SIZES)
    names = person.copy()
    wrong = [int(np.flatnonzero(person == one)[0]) for one in range(10)]
    names[wrong] = (person[wrong] + 1) % 40
    found = audit_of(faces, names).other_identity()[: len(wrong)]
    assert {one.row for one in found} == set(wrong)
    assert [person[one.other] for one in found] == [person[one.row] for one in found]
    one = found[0]
    assert one.distance == pytest.approx(
        np.linalg.norm(faces[one.row].astype(float) - faces[one.other])
    )


def test_the_score_of_a_wrong_name_follows_from_the_three_nearest_faces() -> None:
    places = [0.0, 1, 2, 3, 7, 8, 9.5, 10]
    names = np.array([0, 0, 0, 0, 1, 1, 1, 0])
    faces = np.zeros((len(places), 128), np.float32)
    faces[:, 0] = places
    found = audit_of(faces, names).other_identity()
    assert [one.row for one in found] == [7]
    assert found[0].other == 6
    assert found[0].score == pytest.approx(((7 + 8 + 9) / 3) / ((0.5 + 2 + 3) / 3))


def test_a_person_with_two_names_is_found_and_no_wrong_name_joins_two() -> None:
    faces, person = synthetic_faces(SIZES)
    names = person.copy()
    names[np.flatnonzero(person == 3)[:3]] = 1000
    names[np.flatnonzero(person == 5)[0]] = 6
    found = audit_of(faces, names).one_person()
    assert {names[found[0].row], names[found[0].other]} == {3, 1000}
    assert {5, 6} not in [{names[one.row], names[one.other]} for one in found]


def test_a_bystander_is_found_beside_the_face_of_the_identity() -> None:
    faces, person = synthetic_faces(SIZES)
    names, photos = person.copy(), np.arange(len(faces))
    bystander, own = int(np.flatnonzero(person == 50)[0]), int(np.flatnonzero(person == 2)[0])
    names[bystander], photos[bystander] = 2, own
    (one,) = audit_of(faces, names, photos).two_in_photo()
    assert (one.row, one.other) == (bystander, own)
    assert one.score > 1


def test_two_faces_alone_in_an_identity_do_not_tell_who_is_the_bystander() -> None:
    faces, _ = synthetic_faces(np.array([1, 1, 1]))
    assert audit_of(faces, np.array([0, 0, 1]), np.array([0, 0, 1])).two_in_photo() == []


def test_a_face_unlike_all_others_is_found() -> None:
    faces, person = synthetic_faces(SIZES)
    faces[7] += 0.3
    assert audit_of(faces, person).unlike_all()[0].row == 7


def test_a_person_unlike_all_others_is_no_error() -> None:
    faces, person = synthetic_faces(SIZES)
    faces[person == 7] += 0.3
    assert not any(person[one.row] == 7 for one in audit_of(faces, person).unlike_all())


def test_a_stranger_in_an_album_of_two_persons_is_unlike_all_others() -> None:
    faces, person = synthetic_faces(np.array([20, 20, 1]))
    names, stranger = np.where(person == 2, 0, person), int(np.flatnonzero(person == 2)[0])
    assert [one.row for one in audit_of(faces, names).unlike_all()] == [stranger]


def test_a_face_without_a_copy_is_not_unlike_all_others() -> None:
    faces = np.zeros((24, 128), np.float32)
    faces[np.arange(24), np.arange(24)] = np.linspace(0.45, 0.5, 24)
    copies = np.arange(18)
    names = np.full(len(faces) + len(copies), -1)
    assert audit_of(np.concatenate([faces, faces[copies]]), names).unlike_all() == []


@pytest.mark.parametrize("copies", [4, 90, 100, 200])
def test_copies_of_a_face_under_many_names_are_not_unlike_all_others(copies: int) -> None:
    faces, _ = synthetic_faces(SIZES)
    faces = np.concatenate([faces, np.repeat(faces[:1], copies, axis=0)])
    names = np.full(len(faces), -1)
    assert audit_of(faces, names).unlike_all() == []


def test_the_nearest_other_face_is_the_evidence_not_a_copy() -> None:
    faces, person = synthetic_faces(SIZES)
    faces[7] += 0.3
    faces = np.concatenate([faces, faces[[7, 7]]])
    found = audit_of(faces, np.append(person, [-1, -1])).unlike_all()
    assert {one.row for one in found} >= {7}
    assert all(one.distance > 0.6 for one in found)


def test_a_face_as_near_as_one_person_is_not_unlike_all_others() -> None:
    faces = np.zeros((24, 128), np.float32)
    faces[np.arange(24), np.arange(24)] = np.linspace(0.3, 0.301, 24)
    faces[7] *= 1.3
    names = np.full(len(faces), -1)
    assert audit_of(faces, names).unlike_all() == []
    assert [one.row for one in audit_of(2 * faces, names).unlike_all()] == [7]


def test_a_photo_under_two_names_has_a_score_that_can_be_read() -> None:
    faces, _ = synthetic_faces(np.full(20, 1))
    faces[2] = faces[0]
    audit = audit_of(faces, np.array([0, 0, 1, *range(2, 19)]))
    one = audit.other_identity()[0]
    assert (one.row, one.other, one.distance) == (0, 2, 0)
    assert 100 < one.score < 1000
    (two,) = [one for one in audit_of(faces, np.arange(20)).one_person() if one.distance == 0]
    assert 100 < two.score < 1000


def test_few_faces_do_not_tell_which_is_unlike_all_others() -> None:
    faces, person = synthetic_faces(np.array([2, 1]))
    assert audit_of(faces, person).unlike_all() == []


def test_near_pairs_of_two_photos_may_be_duplicates() -> None:
    faces, person = synthetic_faces(SIZES)
    faces[3], faces[9] = faces[8] + 0.001, faces[8] + 0.002
    photos = np.arange(len(faces))
    photos[9] = 8
    pairs = {(one.row, one.other) for one in audit_of(faces, person, photos).perhaps_duplicates()}
    assert (3, 8) in pairs
    assert (8, 9) not in pairs  # one photo


def test_faces_without_names_have_findings_that_need_none() -> None:
    faces, _ = synthetic_faces(np.array([3, 2]))
    audit = audit_of(faces, np.full(5, -1))
    assert audit.other_identity() == audit.one_person() == audit.two_in_photo() == []
    assert audit_of(faces[:1], np.array([0])).unlike_all() == []
