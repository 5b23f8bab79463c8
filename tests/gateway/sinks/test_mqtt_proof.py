"""MQTT 3.1.1: which message that comes back proves a topic."""

from gateway.sinks.mqtt_proof import ECHOES, Proof


class Topics:
    """What is subscribed to."""

    def __init__(self):
        self.now = []

    def subscribe(self, topic):
        self.now.append(topic)

    def unsubscribe(self, topic):
        self.now.remove(topic)


def asked(*payloads):
    proof, topics = Proof(), Topics()
    proof.begin(topics)
    for position, payload in enumerate(payloads):
        assert proof.may_go("a/raw", payload)
        assert proof.holds("a/raw", position, now_s=1.0)
    return proof, topics


def test_a_broker_that_subscribes_late_still_proves_the_topic_with_a_later_record():
    proof, topics = asked(b"1", b"2", b"3")
    assert topics.now == ["a/raw"]
    assert proof.heard("a/raw", b"2") == [0, 1, 2]
    assert topics.now == []
    assert not proof.due("a/raw")


def test_what_we_did_not_publish_proves_nothing():
    proof, _ = asked(b"1", b"2")
    assert proof.heard("a/raw", b"an old retained one") == []
    assert proof.overdue(1000.0) == [("a/raw", [0, 1])]
    assert proof.due("a/raw")
    assert not proof.holds("a/raw", 2, now_s=1000.0)  # a late PUBACK is no proof either, and nobody waits for one


def test_few_payloads_are_kept():
    proof, _ = asked(*(b"%d" % n for n in range(10 * ECHOES)))
    assert len(proof._asked["a/raw"].payloads) == ECHOES
