"""What a stream carries, by its shape."""

from enrapt.realtime.sources.stream_kind import Shape, accepted, kind_of


def test_a_channel_that_says_who_speaks_is_not_taken_for_sound():
    assert kind_of(Shape(1, 10, False), 1, "speaking/1") == "features"
    assert kind_of(Shape(1, 0, False), 1, "speaking/1") == "features"
    assert kind_of(Shape(1, 16_000, False), 1, "speaking/1") == "sound"


def test_sound_is_possible_for_audio_only():
    stereo = Shape(2, 44_100, False)
    assert kind_of(stereo, 44, "audio/1") == "sound"
    assert kind_of(stereo, 57, "face/1") is None
    assert kind_of(stereo, 44, None) is None
    assert kind_of(stereo, 2, None) == "features"
    assert kind_of(Shape(2, 100, True), 2, None) is None
    assert accepted(1, None) == "1 channel of numbers"
    assert kind_of(Shape(1, 1e12, False), 44, "audio/1") is None
